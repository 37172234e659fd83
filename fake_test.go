package kith_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/kith-go/kith"
)

// loop is a Caller that runs the handlers of this process: both ends of every
// kind of call, with nothing between them.
type loop struct {
	handlers *kith.Handlers
	peer     *kith.Peer

	mu     sync.Mutex
	last   kith.Request // guarded by mu
	closed int          // streams closed; guarded by mu
}

// inbound is what handlers find in their ctx.
type inbound struct {
	call     kith.Call
	caller   kith.Caller
	draining chan struct{}
	trailer  kith.Metadata
}

func (in *inbound) Call() kith.Call           { return in.call }
func (in *inbound) Caller() kith.Caller       { return in.caller }
func (in *inbound) Draining() <-chan struct{} { return in.draining }

func (in *inbound) SetTrailer(md kith.Metadata) error {
	in.trailer = md
	return nil
}

// lookup finds the handler of r, and notes r.
func (l *loop) lookup(r kith.Request, msgs kith.Messages) (func(context.Context) error, error) {
	l.mu.Lock()
	l.last = r
	l.mu.Unlock()
	m, run, ok := l.handlers.Lookup([]byte(r.Method.Name()))
	if !ok {
		return nil, kith.RemoteError(kith.Unimplemented, "unknown_method", "", nil, true)
	}
	call := kith.Call{Method: m, Metadata: r.Metadata, Codec: r.Codec, Peer: l.peer, Messages: msgs}
	return func(ctx context.Context) error {
		in := &inbound{call: call, caller: l, draining: make(chan struct{})}
		err := run(context.WithValue(ctx, kith.CallKey{}, in), call)
		if r.Trailer != nil {
			*r.Trailer = in.trailer
		}
		return err
	}, nil
}

func (l *loop) lastRequest() kith.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *loop) closedStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// told is err as the other side sees it.
func told(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*kith.Error); ok {
		return kith.RemoteError(e.Code(), e.Reason(), e.Message(), e.RawDetails(), e.Unprocessed())
	}
	return kith.RemoteError(kith.Internal, "", "internal error", nil, false)
}

func (l *loop) Invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	msgs := &unaryMessages{req: r.Body}
	run, err := l.lookup(r, msgs)
	if err == nil {
		err = run(ctx)
	}
	if err != nil {
		return nil, told(err)
	}
	return msgs.resp, nil
}

// unaryMessages passes the very slices on, so that a test can see copies.
type unaryMessages struct {
	req, resp []byte
	received  bool
}

func (m *unaryMessages) Recv() ([]byte, error) {
	if m.received {
		return nil, io.EOF
	}
	m.received = true
	return m.req, nil
}

func (m *unaryMessages) Send(p []byte) error {
	m.resp = p
	if len(p) > 0 && &p[0] != &m.req[:1][0] {
		m.resp = bytes.Clone(p)
	}
	return nil
}

func (m *unaryMessages) CloseSend() error { return nil }

func (l *loop) Open(ctx context.Context, r kith.Request) (kith.CallStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &loopStream{
		loop: l, cancel: cancel, ctx: ctx,
		up: make(chan []byte), upEnd: make(chan struct{}), down: make(chan []byte), done: make(chan struct{}),
	}
	run, err := l.lookup(r, (*servingEnd)(s))
	if err != nil {
		cancel()
		return nil, err
	}
	// Ends with the handler, which Close cancels and waits for.
	go s.serveHandler(run)
	return s, nil
}

// loopStream is the calling end of a streaming call of a loop.
type loopStream struct {
	loop   *loop
	ctx    context.Context
	cancel context.CancelFunc
	up     chan []byte   // sent to by Send
	upEnd  chan struct{} // closed by CloseSend
	down   chan []byte   // sent to by the handler
	done   chan struct{} // closed by serveHandler, after err is set
	err    error

	endOnce, closeOnce sync.Once
}

func (s *loopStream) serveHandler(run func(context.Context) error) {
	defer close(s.done)
	s.err = run(s.ctx)
}

func (s *loopStream) Recv() ([]byte, error) {
	select {
	case p := <-s.down:
		return p, nil
	case <-s.done:
		if s.err != nil {
			return nil, told(s.err)
		}
		return nil, io.EOF
	}
}

func (s *loopStream) Send(p []byte) error {
	select {
	case s.up <- bytes.Clone(p):
		return nil
	case <-s.done:
		return io.EOF
	}
}

func (s *loopStream) CloseSend() error {
	s.endOnce.Do(func() { close(s.upEnd) })
	return nil
}

func (s *loopStream) Close() error {
	s.closeOnce.Do(func() {
		s.loop.mu.Lock()
		s.loop.closed++
		s.loop.mu.Unlock()
	})
	s.cancel()
	<-s.done
	return nil
}

// servingEnd is the handler's end of a loopStream.
type servingEnd loopStream

func (s *servingEnd) Recv() ([]byte, error) {
	select {
	case p := <-s.up:
		return p, nil
	case <-s.upEnd:
		return nil, io.EOF
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *servingEnd) Send(p []byte) error {
	select {
	case s.down <- bytes.Clone(p):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *servingEnd) CloseSend() error { return nil }

// echo is a Caller whose unary calls return their own request.
type echo struct{}

func (echo) Invoke(_ context.Context, r kith.Request) ([]byte, error) { return r.Body, nil }

func (echo) Open(context.Context, kith.Request) (kith.CallStream, error) {
	return nil, fmt.Errorf("echo has no streams")
}

// hexCodec encodes strings as hexadecimal text.
type hexCodec struct{}

func (hexCodec) Name() string { return "hex" }

func (hexCodec) Append(dst []byte, v any) ([]byte, error) {
	s, ok := v.(*string)
	if !ok {
		return dst, fmt.Errorf("no string: %T", v)
	}
	return fmt.Appendf(dst, "%x", *s), nil
}

func (hexCodec) Decode(data []byte, v any) error {
	_, err := fmt.Sscanf(string(data), "%x", v.(*string))
	return err
}
