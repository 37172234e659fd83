package kith

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
)

// A Duplex is one end of a streaming call: messages of type Send go out,
// messages of type Recv come in, each in order. One goroutine may send while
// another receives. The calling side must Close it; a handler's ends with the
// handler, which may Close it earlier.
type Duplex[Send, Recv any] struct {
	messages Messages
	codec    Codec
	close    func() error
	serving  bool // it is a handler's
	ranged   atomic.Bool
}

// Send sends v. It blocks while the other side is slow to read. On the
// calling side io.EOF means that the call has ended, and Recv tells how. A
// message over the limit fails with [ResourceExhausted] and is not sent.
func (d *Duplex[Send, Recv]) Send(v Send) error { return sendValue(d.messages, d.codec, v) }

// CloseSend says that no message follows. Receiving goes on.
func (d *Duplex[Send, Recv]) CloseSend() error { return d.messages.CloseSend() }

// Recv returns the next message, io.EOF after the last, or what ended the call.
func (d *Duplex[Send, Recv]) Recv() (Recv, error) {
	v, err := recvValue[Recv](d.messages, d.codec)
	if err != nil && d.serving {
		err = servingErr(err)
	}
	return v, err
}

// All returns the messages still to come, to be ranged over once. An error
// other than io.EOF is yielded once, last. Breaking out of the range leaves the
// call as it is.
func (d *Duplex[Send, Recv]) All() iter.Seq2[Recv, error] {
	return func(yield func(Recv, error) bool) {
		if d.ranged.Swap(true) {
			var zero Recv
			yield(zero, ErrUsed)
			return
		}
		for {
			v, err := d.Recv()
			if err == io.EOF || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// CloseAndRecv half-closes, then returns the one answer of a client stream.
func (d *Duplex[Send, Recv]) CloseAndRecv() (Recv, error) {
	// The read side decides the call: an error of CloseSend means that it has
	// ended, and Recv tells how.
	_ = d.CloseSend()
	v, err := d.Recv()
	if err == io.EOF {
		err = NewError(Internal, "no_answer", "the call ended without an answer")
	}
	return v, err
}

// Close ends the use of the call, cancelling it if it is still going on. It is
// idempotent and may be called from any goroutine.
//
// In a handler it ends both directions: what another goroutine is blocked in
// returns, and every further Recv and Send fails with an error that matches
// [net.ErrClosed]. The caller gets what was sent before and what the handler
// returns; but a Send that was blocked may have been cut off in the middle,
// and then the code of the outcome is all that the caller gets, [Canceled] where
// the handler returns nil.
func (d *Duplex[Send, Recv]) Close() error { return d.close() }

// closer returns what Close does in the handler of ctx: whoever runs handlers
// offers it beside [Inbound]'s methods, as it goes past what middleware has put
// around the call's Messages.
func closer(ctx context.Context) func() error {
	if in, ok := inbound(ctx).(interface{ CloseMessages() error }); ok {
		return in.CloseMessages
	}
	return func() error { return nil }
}
