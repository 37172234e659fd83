package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// A streamCall is a streaming call on its way through middleware. To that it
// is the Messages next to the wire.
type streamCall struct {
	c     *Client
	r     kith.Request
	begun atomic.Bool

	opened chan struct{} // closed by run, after the two below are set
	stream kith.CallStream
	top    kith.Messages // what the application uses: middleware's, around this

	done   chan struct{} // closed by chainHandler, after result is set
	result error

	once sync.Once
	over chan struct{} // closed by end, after err is set
	err  error         // how the call ended, as middleware sees it
}

// openChained starts a streaming call through the middleware.
func (c *Client) openChained(ctx context.Context, r kith.Request) (kith.CallStream, error) {
	if !c.enter() {
		return nil, finalError(r.Method, nil, history{}, ErrClosed)
	}
	x := &streamCall{c: c, r: r, opened: make(chan struct{}), done: make(chan struct{}), over: make(chan struct{})}
	go x.chainHandler(ctx)
	select {
	case <-x.opened:
		return appStream{x.top, x}, nil
	case <-ctx.Done():
		err := finalError(r.Method, nil, history{unknown: true}, &waitError{ctx: ctx.Err(), tried: c.tried()})
		x.end(err) // whatever comes to be opened is closed
		return nil, err
	case <-x.done:
	}
	select {
	case <-x.opened: // and over already
		return appStream{x.top, x}, nil
	default:
	}
	if x.result == nil {
		return nil, errNoStream
	}
	return nil, x.result
}

var (
	errNoStream = kith.NewError(kith.Internal, "no_stream", "client middleware ended the call before it was opened")
	errPanic    = kith.NewError(kith.Internal, "middleware_panic", "client middleware panicked")
	errTwice    = errors.New("client middleware called next twice for a streaming call")
	errGoexit   = errors.New("client middleware called runtime.Goexit")
)

// chainHandler runs the middleware of one streaming call. It ends when the
// call is over and the middleware returns; Close makes the one happen, and waits
// for both.
func (x *streamCall) chainHandler(ctx context.Context) {
	defer x.c.loops.Done()
	err := errGoexit
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
			x.c.cfg.Logger.Error("client middleware panicked", slog.String("method", x.r.Method.Name()),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
		x.result = err
		close(x.done)
	}()
	err = x.c.chain(context.WithValue(ctx, exchangeKey{}, x), kith.Call{
		Method: x.r.Method, Metadata: x.r.Metadata, Codec: x.r.Codec, Messages: x,
	})
}

// run opens the call, and returns how it ended.
func (x *streamCall) run(ctx context.Context, call kith.Call) error {
	if x.begun.Swap(true) {
		return errTwice
	}
	r := x.r
	r.Method, r.Metadata, r.Codec = call.Method, call.Metadata, call.Codec
	st, cn, err := x.c.open(ctx, r)
	if err != nil {
		return err
	}
	x.stream, x.top = st, call.Messages
	close(x.opened)
	select {
	case <-x.over:
	case <-ctx.Done():
		x.end(session.NewFailure(kith.CodeOf(ctx.Err()), "call "+r.Method.Name(), ctx.Err(), false))
		return x.err
	case <-cn.s.Ended():
		x.end(finalError(r.Method, cn, history{}, cn.s.Err()))
		return x.err // the stream is left to the application, which learns the same from it
	}
	_ = st.Close() // the application may be gone
	return x.err
}

// end sets how the call ended. The first call decides.
func (x *streamCall) end(err error) {
	x.once.Do(func() {
		x.err = err
		close(x.over)
	})
}

// Send implements [kith.Messages].
func (x *streamCall) Send(p []byte) error {
	if x.stream == nil {
		return errTooEarly
	}
	return x.stream.Send(p)
}

// CloseSend implements [kith.Messages].
func (x *streamCall) CloseSend() error {
	if x.stream == nil {
		return errTooEarly
	}
	return x.stream.CloseSend()
}

// Recv implements [kith.Messages].
func (x *streamCall) Recv() ([]byte, error) {
	if x.stream == nil {
		return nil, errTooEarly
	}
	p, err := x.stream.Recv()
	switch {
	case err == io.EOF, err == nil && x.r.Method.Kind() == kith.KindClientStream:
		x.end(nil)
	case err != nil:
		x.end(err)
	}
	return p, err
}

// An appStream is what the application has of a streamCall.
type appStream struct {
	kith.Messages
	x *streamCall
}

// Close implements [kith.CallStream].
func (s appStream) Close() error {
	err := s.x.stream.Close()
	s.x.end(errStreamClosed)
	return err
}

var errStreamClosed = session.NewFailure(kith.Canceled, "use of a call", transport.ErrClosed, false)
