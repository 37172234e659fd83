package kith

import (
	"context"
	"io"
)

// A UnaryMethod takes one request and gives one answer. Make it with [Unary],
// as a package variable that both sides share.
type UnaryMethod[Req, Resp any] struct{ Method }

// Unary describes a method of one request and one answer. It panics if name is
// not of the form service/Method.
func Unary[Req, Resp any](name string, opts ...MethodOption) *UnaryMethod[Req, Resp] {
	return &UnaryMethod[Req, Resp]{newMethod(KindUnary, name, isRaw[Req]() && isRaw[Resp](), opts)}
}

// Handle registers f with h, wrapped in mw. If Req is []byte, the request is
// valid until f returns; an answer of type []byte must not change until f's
// caller is done with it, that is never: give a fresh or constant slice.
func (m *UnaryMethod[Req, Resp]) Handle(h *Handlers, f func(context.Context, Req) (Resp, error), mw ...Middleware) {
	mustHave(f != nil, m.name)
	h.Register(&m.Method, func(ctx context.Context, c Call) error {
		req, err := recvOne[Req](c)
		if err != nil {
			return err
		}
		resp, err := f(ctx, req)
		if err != nil {
			return err
		}
		return sendValue(c.Messages, c.Codec, resp)
	}, mw...)
}

// Call calls the method through c and waits for the answer. The end of ctx
// ends the call, cancels the handler's ctx, and makes the error match
// ctx.Err(); ctx's deadline is the handler's too. What the handler returned as
// an [*Error] is matched by errors.Is; [Remote], [Unprocessed] and [CodeOf]
// tell more. If Resp is []byte, it belongs to the caller.
func (m *UnaryMethod[Req, Resp]) Call(ctx context.Context, c Caller, req Req, opts ...CallOption) (Resp, error) {
	r := m.request(opts)
	p, err := invoke(ctx, c, r, req)
	if err != nil {
		var zero Resp
		return zero, err
	}
	return decodeValue[Resp](r.Codec, p)
}

// A NotifyMethod takes one message and gives no answer. Make it with [Notify].
type NotifyMethod[Req any] struct{ Method }

// Notify describes a one-way method. It panics if name is not of the form
// service/Method.
func Notify[Req any](name string, opts ...MethodOption) *NotifyMethod[Req] {
	return &NotifyMethod[Req]{newMethod(KindNotify, name, isRaw[Req](), opts)}
}

// Handle registers f with h, wrapped in mw. An error of f is logged and goes
// nowhere else. If Req is []byte, it is valid until f returns.
func (m *NotifyMethod[Req]) Handle(h *Handlers, f func(context.Context, Req) error, mw ...Middleware) {
	mustHave(f != nil, m.name)
	h.Register(&m.Method, func(ctx context.Context, c Call) error {
		req, err := recvOne[Req](c)
		if err != nil {
			return err
		}
		return f(ctx, req)
	}, mw...)
}

// Call hands the message on and returns. A nil error does not mean that it
// arrived, or that the handler ran.
func (m *NotifyMethod[Req]) Call(ctx context.Context, c Caller, req Req, opts ...CallOption) error {
	_, err := invoke(ctx, c, m.request(opts), req)
	return err
}

func invoke[Req any](ctx context.Context, c Caller, r Request, req Req) ([]byte, error) {
	if p, ok := asRaw(&req); ok {
		r.Body = p
		return c.Invoke(ctx, r)
	}
	return invokeEncoded(ctx, c, r, req)
}

func invokeEncoded[Req any](ctx context.Context, c Caller, r Request, req Req) ([]byte, error) {
	buf := encodeBuffers.Get().(*[]byte)
	defer putBuffer(buf)
	data, err := encodeValue(r.Codec, (*buf)[:0], &req)
	if err != nil {
		return nil, err
	}
	*buf = data
	r.Body = data
	return c.Invoke(ctx, r)
}

// recvOne receives a call's only request.
func recvOne[T any](c Call) (T, error) {
	v, err := recvValue[T](c.Messages, c.Codec)
	if err == io.EOF {
		err = errNoRequest
	}
	return v, servingErr(err)
}

// servingErr makes the error of a request that does not decode one that the
// caller is told: it is about what the caller sent.
func servingErr(err error) error {
	if d, ok := err.(*DecodeError); ok {
		return NewError(InvalidArgument, "decode", d.Error())
	}
	return err
}

// errNoRequest answers a call that ended before its request.
var errNoRequest = NewError(InvalidArgument, "no_request", "the call has no request message")

func mustHave(ok bool, name string) {
	if !ok {
		panic("kith: nil handler for " + name)
	}
}
