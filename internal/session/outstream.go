package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// outStream is the calling end of a stream call.
type outStream struct {
	frames
	s      *Session
	method *kith.Method
	number uint64
	open   []byte // the opening frame, until it is sent with the first message

	ctx    context.Context // of the call; its end resets the stream
	cancel context.CancelFunc
	stop   func() bool // takes back what the end of ctx does

	trailer *kith.Metadata

	mu      sync.Mutex
	over    bool  // guarded by mu
	outcome error // io.EOF for a good end; set with over; guarded by mu
}

// Open implements [kith.Caller].
func (s *Session) Open(ctx context.Context, r kith.Request) (kith.CallStream, error) {
	r.Body = nil
	md, err := s.checkRequest(ctx, &r)
	if err != nil {
		return nil, err
	}
	o, err := s.openStream(ctx, r, md)
	if err != nil {
		return nil, err
	}
	if r.Method.Kind() == kith.KindServerStream {
		return o, nil // its request follows at once, and takes the opening frame along
	}
	if _, err := o.st.Write(o.open); err != nil {
		return nil, o.fail(err)
	}
	o.open = nil
	return o, nil
}

// openStream opens a stream and prepares its first frame.
func (s *Session) openStream(ctx context.Context, r kith.Request, md []byte) (*outStream, error) {
	o := &outStream{s: s, method: r.Method, trailer: r.Trailer, ctx: ctx, cancel: func() {}}
	if t := r.Method.Timeout(); t > 0 {
		o.ctx, o.cancel = context.WithTimeout(ctx, t)
	}
	if err := s.beginStream(o); err != nil {
		o.cancel()
		return nil, err
	}
	st, err := s.openFor(o.ctx, o.what())
	if err != nil {
		s.endStream(o, false) // the other side has not heard of it
		o.cancel()
		return nil, err
	}
	o.st = st
	head := appendUvarint(wire.AppendStream(nil, wire.StreamOpen), o.number)
	head = wire.AppendHead(head, r.Method.Kind(), r.Method.Name(), r.Codec.Name(), timeLeft(o.ctx), md)
	o.open = wire.EndStream(head, 0)
	o.stop = context.AfterFunc(o.ctx, o.abort)
	return o, nil
}

// beginStream numbers a stream call, once hello is over and unless the other
// side drains.
func (s *Session) beginStream(o *outStream) error {
	select {
	case <-s.ready:
	default:
		if err := s.Ready(o.ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusedLocked(o.method); err != nil {
		return err
	}
	o.number = s.out.streamNo
	s.out.streamNo++
	s.out.streams++
	s.activeLocked()
	return nil
}

// endStream counts a stream call's outcome. If cancelled, the other side is
// told: on some transports a reset cannot reach the handler.
func (s *Session) endStream(o *outStream, cancelled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.streams--
	if o.st == nil {
		s.out.unopened++
	}
	if cancelled {
		s.appendNumberLocked(wire.FrameCancelStream, o.number)
	}
	s.maybeDoneLocked()
}

func (o *outStream) what() string { return "call " + o.method.Name() }

// settle sets the outcome, and reports whether it was the first.
func (o *outStream) settle(err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	o.over, o.outcome = true, err
	return true
}

// settled returns the outcome, nil while there is none.
func (o *outStream) settled() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.outcome
}

// abort ends the call because its ctx ended.
func (o *outStream) abort() {
	if o.settle(gaveUp(o.ctx, o.what(), false)) {
		o.s.endStream(o, true)
		o.st.Reset(kith.Canceled)
		o.cancel()
	}
}

// quit ends the call on this side's account.
func (o *outStream) quit(why error) {
	if o.settle(why) {
		o.s.endStream(o, true)
		o.st.Reset(kith.Canceled)
		o.release()
	}
}

// release gives back what the call holds. It must not run before openStream
// has returned.
func (o *outStream) release() {
	o.stop()
	o.cancel()
}

// fail ends the call because of an error of the stream, and returns the
// outcome.
func (o *outStream) fail(err error) error {
	if o.ctx.Err() != nil {
		o.abort()
	} else if ce := transport.ConnErr(o.s.conn.Context()); ce != nil {
		o.quit(o.s.lost(o.what(), ce, false))
	} else {
		if err == io.EOF {
			err = errTruncated
		}
		o.quit(o.s.failure(o.what(), err, false))
	}
	return o.settled()
}

// Send implements [kith.Messages].
func (o *outStream) Send(p []byte) error { return o.send(p, false) }

func (o *outStream) send(p []byte, last bool) error {
	if err := o.s.checkSize(o.method, len(p)); err != nil {
		return err
	}
	if o.sendEnded() != nil {
		return o.sendEnded()
	}
	open := o.open
	o.open = nil
	if err := o.message(open, p, last); err != nil {
		if o.ctx.Err() != nil {
			return gaveUp(o.ctx, o.what(), false)
		}
		return io.EOF // Recv tells how the call ended
	}
	return nil
}

// sendEnded is what Send returns once the call is over.
func (o *outStream) sendEnded() error {
	err := o.settled()
	if err == nil || kith.Remote(err) {
		if err != nil {
			return io.EOF
		}
		return nil
	}
	return err
}

// CloseSend implements [kith.Messages].
func (o *outStream) CloseSend() error {
	if open := o.open; open != nil {
		o.open = nil
		return transport.WriteLast(o.st, open)
	}
	if err := o.st.CloseWrite(); err != nil {
		return io.EOF
	}
	return nil
}

// Recv implements [kith.Messages].
func (o *outStream) Recv() ([]byte, error) {
	if err := o.settled(); err != nil {
		return nil, err
	}
	if o.method.Kind() == kith.KindClientStream {
		// The answer counts only with the outcome that follows it.
		a := o.s.readAnswer(&o.frames, o.method)
		o.end(a)
		if err := o.settled(); err != io.EOF {
			return nil, err
		}
		return a.body, nil
	}
	t, size, err := o.next()
	if err != nil {
		return nil, o.fail(err)
	}
	if t != wire.StreamMessage {
		a, err := o.readOutcome(&o.s.claims, t, size)
		if err != nil {
			return nil, o.fail(err)
		}
		o.end(a)
		return nil, o.settled()
	}
	if limit := o.s.limit(o.method); size > limit {
		o.quit(tooLarge(size, limit, "this side's"))
		return nil, o.settled()
	}
	msg, err := o.body(&o.s.claims, []byte{}, size, growFresh)
	if err != nil {
		return nil, o.fail(err)
	}
	return msg, nil
}

// end takes the outcome that the other side gave, or the failure to read it.
func (o *outStream) end(a outcome) {
	if a.err != nil && !kith.Remote(a.err) {
		var f *Failure
		if errors.As(a.err, &f) {
			_ = o.fail(f.cause)
		} else {
			o.quit(a.err)
		}
		return
	}
	if a.err == nil {
		a.err = io.EOF
	}
	if o.settle(a.err) {
		if o.trailer != nil {
			*o.trailer = a.trailer
		}
		o.s.endStream(o, false)
		_ = o.st.Close()
		o.release()
	}
}

// Close implements [kith.CallStream].
func (o *outStream) Close() error {
	o.quit(errClosedCall)
	return nil
}

var errClosedCall = &Failure{code: kith.Canceled, what: "use of a call", cause: transport.ErrClosed}

// invokeStream makes a unary call whose message is large, or which is to be
// isolated, on a stream of its own.
func (s *Session) invokeStream(ctx context.Context, r kith.Request, md []byte) ([]byte, error) {
	o, err := s.openStream(ctx, r, md)
	if err != nil {
		return nil, err
	}
	if r.Method.Kind() == kith.KindNotify {
		return nil, s.notifyStream(o, r.Body)
	}
	defer func() { _ = o.Close() }()
	// The read side decides the call: where sending failed, the answer may be
	// there all the same.
	if err := o.send(r.Body, true); err != nil && err != io.EOF && o.settled() == nil {
		return nil, o.fail(err)
	}
	if err := o.settled(); err != nil {
		return nil, err
	}
	a := s.readAnswer(&o.frames, o.method)
	o.end(a)
	if err := o.settled(); err != io.EOF {
		return nil, err
	}
	return a.body, nil
}

// notifyStream hands a large notification on. Its outcome is read by the
// goroutine that it leaves behind, since drain waits for it.
func (s *Session) notifyStream(o *outStream, body []byte) error {
	if err := o.send(body, true); err != nil {
		return o.fail(err)
	}
	go o.outcomeHandler()
	return nil
}

// outcomeHandler reads the outcome of a notification. It ends when the handler
// at the other side does, or with the call's ctx or the connection.
func (o *outStream) outcomeHandler() { o.end(o.s.readAnswer(&o.frames, o.method)) }
