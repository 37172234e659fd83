package main

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A bidiClient makes calls over one stream of grpc, which answers them in order. It
// runs readLoop.
type bidiClient struct {
	c      *grpc.ClientConn
	s      grpc.ClientStream
	cancel context.CancelFunc // ends s

	// sendMu is held while a message is handed to the stream, which allows one sender at
	// a time: there is no other way to send in the order of the queue.
	sendMu sync.Mutex
	queue  chan chan []byte // of callers in the order sent; each has room for its answer

	done chan struct{} // closed by readLoop, after err is set
	err  error         // set before done closes; read only after
}

// bidiCalls is how many callers may wait at once; more wait to send.
const bidiCalls = 8192

func newGRPCBidi(c *grpc.ClientConn) (client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := c.NewStream(ctx, &grpcDesc.Streams[1], grpcChat)
	if err != nil {
		cancel()
		return nil, err
	}
	b := &bidiClient{
		c: c, s: s, cancel: cancel,
		queue: make(chan chan []byte, bidiCalls), done: make(chan struct{}),
	}
	go b.readLoop()
	return b, nil
}

// bidiAnswers are used again, unless their caller has left before his answer came.
var bidiAnswers = sync.Pool{New: func() any { return make(chan []byte, 1) }}

func (b *bidiClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	answer := bidiAnswers.Get().(chan []byte)
	if err := b.send(ctx, answer, &wrapperspb.BytesValue{Value: req}); err != nil {
		return nil, err
	}
	select {
	case p := <-answer:
		bidiAnswers.Put(answer)
		return p, nil
	case <-b.done:
		return nil, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *bidiClient) send(ctx context.Context, answer chan []byte, m *wrapperspb.BytesValue) error {
	b.sendMu.Lock()
	defer b.sendMu.Unlock()
	select {
	case b.queue <- answer:
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
	return b.s.SendMsg(m)
}

// readLoop hands answers out in the order of the queue. It ends with the stream, which
// Close cancels before it waits for it.
func (b *bidiClient) readLoop() {
	defer close(b.done)
	for {
		var m wrapperspb.BytesValue
		if b.err = b.s.RecvMsg(&m); b.err != nil {
			return
		}
		<-b.queue <- m.GetValue() // whoever is answered has been queued, and has room
	}
}

func (b *bidiClient) Close() error {
	b.cancel()
	<-b.done
	return b.c.Close()
}
