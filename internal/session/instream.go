package session

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// openTimeout bounds the time from a stream's start to its first frame.
const openTimeout = 10 * time.Second

// streamHandler carries out what the other side opened a stream for: a call,
// or the large answer to one of ours. It ends with the call, and with the
// connection as soon as the handler returns; nobody waits for it but
// Workers.Quiet.
func (s *Session) streamHandler(st transport.Stream) {
	abandoned := false
	if w := s.cfg.Workers; w != nil {
		defer func() { w.streamReturned(s, abandoned) }()
	}
	if s.Ready(context.Background()) != nil { // it may overtake the welcome
		st.Reset(kith.Unauthenticated)
		return
	}
	f := frames{st: st}
	_ = st.SetReadDeadline(time.Now().Add(openTimeout))
	t, size, err := f.next()
	var body []byte
	if err == nil {
		body, err = f.small(&s.claims, size)
	}
	if err != nil {
		st.Reset(kith.InvalidArgument)
		return
	}
	_ = st.SetReadDeadline(time.Time{})
	switch t {
	case wire.StreamOpen:
		abandoned, err = s.serveStream(f, body)
	case wire.StreamReply:
		err = s.readReply(f, body)
	default:
		err = wire.ErrMalformed
	}
	if err != nil {
		st.Reset(kith.InvalidArgument)
		s.kill(kith.InvalidArgument, "stream: "+err.Error())
	}
}

// outcomeTimeout bounds how long the outcome of a call that was cancelled, or
// whose time is over, waits for a caller that does not read.
const outcomeTimeout = time.Second

// inStream is the stream of a call being served.
type inStream struct {
	frames
	msg    []byte       // the last request, lent to the handler until it receives again or returns
	tooBig error        // a request was over the limit; nothing can be read behind it
	closed atomic.Bool  // the handler has closed it
	state  atomic.Int32 // of the direction that is written
	recvs  atomic.Int32 // state of the direction that is read; whoever made it recvBusy has msg
}

// States of an inStream. A handler may return while another goroutine of its
// own sends: the outcome must not get into the middle of a message.
const (
	streamIdle    int32 = iota
	streamWriting       // an answer is being written
	streamCut           // one was written in part; nothing can be written behind it
	streamEnded         // the outcome is written
)

// States of the direction that is read. A goroutine that a handler left behind
// may still be receiving: then it has the buffer, which is not given back.
const (
	recvIdle int32 = iota
	recvBusy
	recvEnded // the handler has returned
)

// serveStream serves a stream call, and reports whether its caller did not wait for the
// outcome. An error means that the other side breaks the protocol.
func (s *Session) serveStream(f frames, body []byte) (abandoned bool, err error) {
	number, rest, err := wire.SplitNumber(body)
	if err != nil {
		return false, err
	}
	h, rest, err := wire.ParseHead(rest)
	if err != nil {
		return false, err
	}
	if len(rest) > 0 {
		return false, wire.ErrMalformed
	}
	st := &inStream{frames: f}
	c, refusal := s.newInCall(number, h, time.Now())
	if refusal == nil && !s.cfg.Workers.acquire(s) {
		refusal = errBusy
	}
	if refusal != nil {
		st.finish(refusal, nil)
		return false, nil
	}
	defer s.cfg.Workers.release()
	c.stream = st
	if !c.deadline.IsZero() { // before the call can be cancelled, which sets them too
		_ = f.st.SetReadDeadline(c.deadline)
		_ = f.st.SetWriteDeadline(c.deadline)
	}
	running, cancelled := s.in.claimStream(c)
	if running == 0 {
		s.cfg.Workers.leave()
		return false, wire.ErrMalformed
	}
	if cancelled {
		c.abort()
	}
	s.calledUpon(running)
	c.serve()
	return c.abandoned, nil
}

// recv reads the next request.
func (st *inStream) recv(c *inCall) ([]byte, error) {
	if !st.recvs.CompareAndSwap(recvIdle, recvBusy) {
		return nil, c.cannotRecv()
	}
	defer st.recvs.CompareAndSwap(recvBusy, recvIdle)
	if c.received && c.oneRequest() {
		return nil, io.EOF
	}
	if st.tooBig != nil {
		return nil, st.tooBig
	}
	if st.closed.Load() {
		return nil, errClosedCall
	}
	if cap(st.msg) > firstChunk {
		st.msg = nil // not kept for the length of a long stream
	}
	t, size, err := st.next()
	if err != nil {
		return nil, c.streamErr(err)
	}
	if t != wire.StreamMessage {
		st.st.Reset(kith.InvalidArgument)
		return nil, c.streamErr(wire.ErrMalformed)
	}
	c.received = true
	if limit := c.s.limit(c.method); size > limit {
		st.tooBig = tooLarge(size, limit, "the other side's")
		return nil, st.tooBig
	}
	if size > cap(st.msg) {
		st.msg = nil // growMessage gives back what it replaces, and this was lent
	}
	msg, err := st.body(&c.s.claims, st.msg[:0], size, growMessage)
	if err != nil {
		st.msg = nil
		return nil, c.streamErr(err)
	}
	st.msg = msg
	return msg, nil
}

// cannotRecv is the error of a Recv that comes too late, or beside another one.
func (c *inCall) cannotRecv() error {
	if c.stream.recvs.Load() == recvBusy {
		return errTwoRecvs
	}
	if err := c.Err(); err != nil {
		return err
	}
	return errClosedCall
}

var errTwoRecvs = errors.New("two goroutines receive on one call")

// oneRequest reports whether the method takes one request only.
func (c *inCall) oneRequest() bool {
	k := c.method.Kind()
	return k != kith.KindClientStream && k != kith.KindBidi
}

// streamErr is what a handler sees when its stream fails.
func (c *inCall) streamErr(err error) error {
	var se *transport.StreamError
	switch {
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded) && c.stream.closed.Load():
		return errClosedCall
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.end(context.DeadlineExceeded)
	case errors.As(err, &se) && se.Remote:
		c.cancel() // the caller is gone
	}
	if cerr := c.Err(); cerr != nil {
		return cerr
	}
	return c.s.failure("messages of "+c.method.Name(), err, false)
}

// send sends an answer.
func (st *inStream) send(c *inCall, p []byte) error { return st.sendAfter(c, nil, p) }

func (st *inStream) sendAfter(c *inCall, before, p []byte) error {
	if st.closed.Load() {
		return errClosedCall
	}
	if !st.state.CompareAndSwap(streamIdle, streamWriting) {
		return c.cannotSend()
	}
	if err := st.message(before, p, false); err != nil {
		st.state.CompareAndSwap(streamWriting, streamCut)
		return c.streamErr(err)
	}
	st.state.CompareAndSwap(streamWriting, streamIdle)
	return nil
}

// cannotSend is the error of a Send that comes too late, or beside another one.
func (c *inCall) cannotSend() error {
	if c.stream.state.Load() == streamWriting {
		return errTwoSends
	}
	if err := c.Err(); err != nil {
		return err
	}
	return errClosedCall
}

var errTwoSends = errors.New("two goroutines send on one call")

// CloseMessages carries out [kith.Duplex.Close] in a handler, which finds it in
// the [kith.Inbound] of its ctx: what it receives and sends on a streaming call
// fails from now on, and what is blocked in that returns. The outcome is still
// what the handler returns, unless a message was cut off.
func (c *inCall) CloseMessages() error {
	if !c.isStream() {
		return nil
	}
	c.stream.closed.Store(true)
	st := c.stream.st
	return errors.Join(st.SetReadDeadline(longAgo), st.SetWriteDeadline(longAgo))
}

var longAgo = time.Unix(1, 0)

// finish sends the outcome and ends the stream. Behind half a message there
// can be no outcome: then the code of the reset is all that the caller gets, and
// who sends may be sending the request.
func (st *inStream) finish(e *kith.Error, trailer []byte) {
	if was := st.state.Swap(streamEnded); was == streamCut || was == streamWriting {
		code := kith.Canceled
		if e != nil {
			code = e.Code()
		}
		st.st.Reset(code)
		return
	}
	var limit time.Time
	if e != nil && (e.Code() == kith.DeadlineExceeded || e.Code() == kith.Canceled) {
		limit = time.Now().Add(outcomeTimeout) // nobody may be there to read it
	}
	_ = st.st.SetWriteDeadline(limit)
	_ = st.outcome(e, trailer)
	_ = st.st.Close()
	if st.recvs.Swap(recvEnded) == recvIdle {
		putMessage(st.msg)
		st.msg = nil
	}
}

// readReply reads the large answer to a lane call.
func (s *Session) readReply(f frames, body []byte) error {
	id, err := wire.ParseNumber(body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	c := s.out.at(id)
	o := outcome{err: errGone}
	var m *kith.Method // read here: a second outcome would end c's use meanwhile
	if c != nil && !c.abandoned {
		c.reply = f.st
		m = c.method
	}
	s.mu.Unlock()
	if m != nil {
		o = s.readAnswer(&f, m)
	}
	if o.err == nil || kith.Remote(o.err) {
		_ = f.st.Close()
	} else {
		f.st.Reset(kith.Canceled)
	}
	if c, err = s.finishCall(id); c != nil {
		c.deliver(o)
	}
	return err
}

var errGone = errors.New("the caller is gone")

// readAnswer reads the one message of a call, and its outcome. Where that
// fails, err is no remote error.
func (s *Session) readAnswer(f *frames, m *kith.Method) outcome {
	what := "answer of " + m.Name()
	t, size, err := f.next()
	var msg []byte
	if err == nil && t == wire.StreamMessage {
		if limit := s.limit(m); size > limit {
			return outcome{err: tooLarge(size, limit, "this side's")}
		}
		if msg, err = f.body(&s.claims, []byte{}, size, growFresh); err == nil {
			t, size, err = f.next()
		}
	}
	var o outcome
	if err == nil {
		o, err = f.readOutcome(&s.claims, t, size)
	}
	switch {
	case err == io.EOF:
		err = errTruncated
	case err == nil && o.err == nil && msg == nil && m.Kind() != kith.KindNotify:
		err = errNoAnswer
	}
	if err != nil {
		return outcome{err: s.failure(what, err, false)}
	}
	if o.err == nil {
		o.body = msg
	}
	return o
}

// errNoAnswer is the error of a call that ended well and without an answer.
var errNoAnswer = errors.New("the call ended without an answer")
