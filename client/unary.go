package client

import (
	"context"
	"errors"
	"io"

	"github.com/kith-go/kith"
)

// exchangeKey is under which the ctx that goes through middleware has the call
// that it is about: a *unaryCall or a *streamCall.
type exchangeKey struct{}

// errLostCtx is the error of middleware that hands on another ctx.
var errLostCtx = errors.New("client middleware called next with a ctx that is not derived from its own")

// innermost is the Handler inside of all middleware: it brings the call to the
// other end.
func innermost(ctx context.Context, call kith.Call) error {
	switch x := ctx.Value(exchangeKey{}).(type) {
	case *unaryCall:
		return x.run(ctx, call)
	case *streamCall:
		return x.run(ctx, call)
	}
	return errLostCtx
}

// A unaryCall is a unary call or a notification on its way through
// middleware. To that it is the Messages next to the wire: Send makes the call,
// Recv gives its answer.
type unaryCall struct {
	c   *Client
	r   kith.Request
	ctx context.Context // of the innermost handler, for Send

	sent, received bool
	answer         []byte // what came from the wire
	err            error

	delivered bool
	result    []byte // what came through the middleware's Messages
}

// invokeChained makes a call through the middleware.
func (c *Client) invokeChained(ctx context.Context, r kith.Request) ([]byte, error) {
	x := &unaryCall{c: c, r: r}
	err := c.chain(context.WithValue(ctx, exchangeKey{}, x), kith.Call{
		Method: r.Method, Metadata: r.Metadata, Codec: r.Codec, Messages: x,
	})
	switch {
	case err != nil:
		return nil, err
	case !x.delivered && r.Method.Kind() != kith.KindNotify:
		return nil, errNoAnswer
	}
	return x.result, nil
}

var errNoAnswer = kith.NewError(kith.Internal, "no_answer", "client middleware ended the call without an answer")

// run sends the request, and receives the answer, through what middleware has
// put around x. Middleware may call it several times.
func (x *unaryCall) run(ctx context.Context, call kith.Call) error {
	body := x.r.Body
	x.ctx = ctx
	x.r.Method, x.r.Metadata, x.r.Codec = call.Method, call.Metadata, call.Codec
	x.sent, x.received, x.delivered, x.answer, x.err = false, false, false, nil, nil
	err := call.Send(body)
	x.r.Body = body
	if err != nil && err != io.EOF {
		return err
	}
	p, err := call.Recv()
	if err == io.EOF && call.Method.Kind() == kith.KindNotify {
		return nil
	}
	if err == nil {
		x.delivered, x.result = true, p
	}
	return err
}

// Send implements [kith.Messages].
func (x *unaryCall) Send(p []byte) error {
	if x.ctx == nil {
		return errTooEarly
	}
	if x.sent {
		return errOneRequest
	}
	x.sent = true
	x.r.Body = p
	if x.r.Method.Timeout() > 0 {
		x.answer, x.err = x.c.invokeTimed(x.ctx, x.r)
	} else {
		x.answer, x.err = x.c.invoke(x.ctx, x.r)
	}
	if x.err != nil {
		return io.EOF // Recv tells
	}
	return nil
}

var (
	errTooEarly   = errors.New("client middleware used a call's messages before it called next")
	errOneRequest = errors.New("this kind of method takes one request")
)

// Recv implements [kith.Messages].
func (x *unaryCall) Recv() ([]byte, error) {
	switch {
	case !x.sent:
		return nil, errTooEarly
	case x.err != nil:
		return nil, x.err
	case x.received || x.r.Method.Kind() == kith.KindNotify:
		return nil, io.EOF
	}
	x.received = true
	return x.answer, nil
}

// CloseSend implements [kith.Messages]. There is one request anyway.
func (x *unaryCall) CloseSend() error { return nil }
