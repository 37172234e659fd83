package kith

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
)

// A ServerStreamMethod takes one request and gives many answers. Make it with
// [ServerStream].
type ServerStreamMethod[Req, Resp any] struct{ Method }

// ServerStream describes a method of one request and many answers. It panics
// if name is not of the form service/Method.
func ServerStream[Req, Resp any](name string, opts ...MethodOption) *ServerStreamMethod[Req, Resp] {
	return &ServerStreamMethod[Req, Resp]{newMethod(KindServerStream, name, isRaw[Req]() && isRaw[Resp](), opts)}
}

// Handle registers f with h, wrapped in mw. What f returns is ranged over,
// and every value sent; the first error it yields ends the call. The loop
// stops early when the caller is gone.
func (m *ServerStreamMethod[Req, Resp]) Handle(h *Handlers, f func(context.Context, Req) iter.Seq2[Resp, error], mw ...Middleware) {
	mustHave(f != nil, m.name)
	h.Register(&m.Method, func(ctx context.Context, c Call) error {
		req, err := recvOne[Req](c)
		if err != nil {
			return err
		}
		for v, err := range f(ctx, req) {
			if err != nil {
				return err
			}
			if err := sendValue(c.Messages, c.Codec, v); err != nil {
				return err
			}
		}
		return nil
	}, mw...)
}

// Call returns the answers, to be ranged over once. The call starts with the
// range; breaking out of it, or the end of ctx, cancels the call. An error is
// yielded once, last. If Resp is []byte, each value belongs to the caller.
func (m *ServerStreamMethod[Req, Resp]) Call(ctx context.Context, c Caller, req Req, opts ...CallOption) iter.Seq2[Resp, error] {
	r := m.request(opts)
	var used atomic.Bool
	return func(yield func(Resp, error) bool) {
		var zero Resp
		if used.Swap(true) {
			yield(zero, ErrUsed)
			return
		}
		s, err := c.Open(ctx, r)
		if err != nil {
			yield(zero, err)
			return
		}
		d := &Duplex[Req, Resp]{messages: s, codec: r.Codec, close: s.Close}
		defer s.Close()
		// The read side decides the call: an error here means that it ended, and
		// Recv tells how.
		if err = d.Send(req); err == nil {
			err = d.CloseSend()
		}
		if err != nil && err != io.EOF {
			yield(zero, err)
			return
		}
		d.All()(yield)
	}
}

// A ClientStreamMethod takes many requests and gives one answer. Make it with
// [ClientStream].
type ClientStreamMethod[Req, Resp any] struct{ Method }

// ClientStream describes a method of many requests and one answer. It panics
// if name is not of the form service/Method.
func ClientStream[Req, Resp any](name string, opts ...MethodOption) *ClientStreamMethod[Req, Resp] {
	return &ClientStreamMethod[Req, Resp]{newMethod(KindClientStream, name, isRaw[Req]() && isRaw[Resp](), opts)}
}

// Handle registers f with h, wrapped in mw. f ranges over the requests once;
// an error that the range yields is the last, and usually what f returns. It
// may answer before it saw them all. If Req is []byte, each is valid until the
// next.
func (m *ClientStreamMethod[Req, Resp]) Handle(h *Handlers, f func(context.Context, iter.Seq2[Req, error]) (Resp, error), mw ...Middleware) {
	mustHave(f != nil, m.name)
	h.Register(&m.Method, func(ctx context.Context, c Call) error {
		d := &Duplex[Resp, Req]{messages: c.Messages, codec: c.Codec, serving: true}
		resp, err := f(ctx, d.All())
		if err != nil {
			return err
		}
		return d.Send(resp)
	}, mw...)
}

// Call starts the call. Send the requests, then get the answer with
// [Duplex.CloseAndRecv]. The end of ctx cancels the call. The caller must
// Close the Duplex.
func (m *ClientStreamMethod[Req, Resp]) Call(ctx context.Context, c Caller, opts ...CallOption) (*Duplex[Req, Resp], error) {
	return open[Req, Resp](ctx, c, m.request(opts))
}

// A BidiMethod takes and gives many messages, in any order. Make it with
// [Bidi].
type BidiMethod[Req, Resp any] struct{ Method }

// Bidi describes a method of many messages both ways. It panics if name is
// not of the form service/Method.
func Bidi[Req, Resp any](name string, opts ...MethodOption) *BidiMethod[Req, Resp] {
	return &BidiMethod[Req, Resp]{newMethod(KindBidi, name, isRaw[Req]() && isRaw[Resp](), opts)}
}

// Handle registers f with h, wrapped in mw. The Duplex sends what the caller
// receives; it ends when f returns. If Req is []byte, each is valid until the
// next Recv.
func (m *BidiMethod[Req, Resp]) Handle(h *Handlers, f func(context.Context, *Duplex[Resp, Req]) error, mw ...Middleware) {
	mustHave(f != nil, m.name)
	h.Register(&m.Method, func(ctx context.Context, c Call) error {
		return f(ctx, &Duplex[Resp, Req]{messages: c.Messages, codec: c.Codec, close: closer(ctx), serving: true})
	}, mw...)
}

// Call starts the call. The end of ctx cancels it. The caller must Close the
// Duplex.
func (m *BidiMethod[Req, Resp]) Call(ctx context.Context, c Caller, opts ...CallOption) (*Duplex[Req, Resp], error) {
	return open[Req, Resp](ctx, c, m.request(opts))
}

func open[S, R any](ctx context.Context, c Caller, r Request) (*Duplex[S, R], error) {
	s, err := c.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Duplex[S, R]{messages: s, codec: r.Codec, close: s.Close}, nil
}
