package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// serve runs the handler of a call and sends its outcome. It sends one also
// if the handler panics or calls runtime.Goexit.
func (c *inCall) serve() {
	err := errGoexit
	defer func() {
		if r := recover(); r != nil {
			p := &panicError{value: r}
			p.stack, p.leftOut = c.s.cfg.Workers.faults.stack()
			err = p
		}
		c.finish(err)
	}()
	err = c.run(c, kith.Call{Method: c.method, Metadata: c.metadata, Codec: c.codec, Peer: c.s.peer, Messages: c})
}

// drop ends a lane call whose handler does not run, nor is its outcome sent.
func (c *inCall) drop() {
	c.leave()
	c.putBuffers()
}

var errGoexit = errors.New("handler called runtime.Goexit")

type panicError struct {
	value   any
	stack   []byte // nil if there were too many of late
	leftOut int    // how many that was
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// finish turns what the handler returned into the call's outcome, sends it,
// and ends the call.
func (c *inCall) finish(err error) {
	e := c.outcome(err)
	if e != nil && c.method.Kind() == kith.KindNotify && e.Code() != kith.Internal {
		c.logFault(slog.LevelWarn, "notification failed", false, slog.String("err", cutText(e.Error())))
	}
	c.abandoned = !c.end(context.Canceled) // what the handler left running ends with it
	c.mu.Lock()
	trailer := c.trailer
	c.mu.Unlock()
	if c.stream != nil && c.s.in.ended.Load() {
		// The handler's ctx ended with the session. That is not the outcome of the
		// call: its caller is to see the connection's end.
		c.stream.st.Reset(kith.Unavailable)
		c.stream.state.Store(streamCut)
	}
	switch {
	case c.isStream():
		c.s.cfg.Workers.leave()
		c.stream.finish(e, trailer)
		c.s.in.free(c) // after the outcome: a caller that does not read it may cancel
		return
	case c.stream != nil:
		c.leave()
		c.stream.finish(e, trailer)
		c.putBuffers()
	default:
		c.finishLane(e, trailer) // c is the session's now
	}
}

// leave ends a lane call's use of what is limited, its slot and its place
// among the Workers'. It is called right before the outcome can reach the other
// side, which uses both again as soon as it has it; and no earlier, so that a
// side that does not read its outcomes holds no more than the limits allow.
func (c *inCall) leave() {
	c.s.in.free(c)
	c.s.cfg.Workers.leave()
}

// finishLane sends the outcome of a lane call.
func (c *inCall) finishLane(e *kith.Error, trailer []byte) {
	b := c.buf
	b.size = laneAnswerOverhead + len(trailer) + len(b.resp)
	b.fail, b.failed = wire.Fail{}, e != nil
	if f := &b.fail; e != nil {
		*f = wire.FailOf(e)
		b.size = laneAnswerOverhead + len(f.Reason) + len(f.Message) + len(f.Details) + len(trailer) + 16
	}
	b.fail.Trailer = trailer
	if b.size > wire.MaxLane {
		c.finishLarge(e, trailer)
		c.putBuffers()
		return
	}
	c.s.sendOutcome(c)
}

// finishLarge sends an outcome that does not fit the lane for its metadata. The
// call's own ctx has ended by now: it waits for a stream as long as there is a
// connection.
func (c *inCall) finishLarge(e *kith.Error, trailer []byte) {
	_ = c.sendLarge(c.s.conn.Context(), c.buf.resp) // where it was cut, finish resets the stream
	c.leave()
	if c.stream != nil { // else the connection is gone
		c.stream.finish(e, trailer)
	}
}

// outcome says what the caller is told of the handler's error: only what was
// authored for it. Nil means that the call ended well.
func (c *inCall) outcome(err error) *kith.Error {
	if err == nil {
		if k := c.method.Kind(); (k == kith.KindUnary || k == kith.KindClientStream) && !c.answered {
			err = errors.New("handler returned without an answer")
		} else {
			return nil
		}
	}
	var e *kith.Error
	if errors.As(err, &e) && !kith.Remote(e) {
		return e
	}
	if own := c.Err(); own != nil {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return kith.NewError(kith.DeadlineExceeded, "", "the deadline passed")
		case errors.Is(err, context.Canceled):
			return kith.NewError(kith.Canceled, "", "the call was canceled")
		}
	}
	id := c.callID()
	attrs := []slog.Attr{
		slog.String("call", id), slog.String("peer", c.s.peer.ID.Short()), slog.String("err", cutText(err.Error())),
	}
	var p *panicError
	rare := errors.As(err, &p) && p.stack != nil
	if rare {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
		if p.leftOut > 0 {
			attrs = append(attrs, slog.Int("stacks_left_out", p.leftOut))
		}
	}
	c.logFault(slog.LevelError, "handler failed", rare, attrs...)
	return kith.NewError(kith.Internal, "", "internal error (call "+id+")")
}

// logFault logs that the call failed here, if not too many did of late, or it is
// rare in itself.
func (c *inCall) logFault(level slog.Level, what string, rare bool, attrs ...slog.Attr) {
	leftOut, ok := c.s.cfg.Workers.faults.line()
	if !ok && !rare {
		return
	}
	attrs = append([]slog.Attr{slog.String("method", c.method.Name())}, attrs...)
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	c.s.cfg.Logger.LogAttrs(context.Background(), level, what, attrs...)
}

// callID names a call in the log and to its caller. It is made only where a
// call fails.
func (c *inCall) callID() string {
	return hex.EncodeToString(c.s.cfg.Instance[:4]) + "-" + fmt.Sprintf("%x", c.id)
}

// maxLogText is the length at which text that may come from outside is cut.
const maxLogText = 256

func cutText(s string) string {
	if len(s) > maxLogText {
		return s[:maxLogText] + "..."
	}
	return s
}
