package mux

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/budget"
	"github.com/kith-go/kith/transport"
)

const (
	// closeWait is how long a closing connection tries to tell the other side
	// why, at the longest.
	closeWait = time.Second

	// linger is how long it then goes on reading, at the longest, for the
	// other side to close first. A TCP socket that is closed with unread input
	// sends a reset, which can destroy the last words on their way.
	linger = 100 * time.Millisecond

	// lastWords is how long a connection that cannot write any more goes on
	// reading: the other side may have said why.
	lastWords = 200 * time.Millisecond
)

// CloseWithError implements [transport.Conn]. It returns within a good second,
// however the link behaves, given that the link's Close unblocks it. It waits
// for the other side to close the link, too, for 100 ms at the longest, so that
// a TCP reset does not destroy the reason. A call that comes while a method of
// the [LaneHandler] runs does not wait for the goroutine that runs it, as it
// may be called by it.
func (c *Conn) CloseWithError(code kith.Code, reason string) error {
	e := &transport.ConnError{Code: code, Reason: cutReason(reason)}
	if c.end(e) {
		c.sayGoodbye(e)
		if !c.running.Load() {
			c.rd.buf = make([]byte, smallRead)
			c.discard()
			c.tearDown()
		}
	}
	if !c.inLane.Load() {
		<-c.gone
	}
	return nil
}

// cutReason cuts a reason where the protocol does, at a rune's start.
func cutReason(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "")
}

// end makes err the reason why the connection ended, and unblocks everything.
// It returns false if it had ended before.
func (c *Conn) end(err *transport.ConnError) bool {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	c.err = err
	c.over.Store(true)
	for _, s := range c.streams {
		s.wakeReader()
		s.wakeWriter()
	}
	for s := range c.unopened {
		s.wakeReader()
		s.wakeWriter()
	}
	c.out.laneReady.Broadcast()
	c.out.flushReady.Broadcast()
	budget.Windows.GiveBack(c.grown)
	c.grown = 0
	c.accepted = nil
	if c.laneStream != nil {
		c.laneStream.changed.Broadcast()
	}
	h := c.lane
	c.interruptLead()
	c.mu.Unlock()
	c.ReadOn() // readLoop sees to the rest
	c.cancel(err)
	if h != nil {
		go c.laneEndHandler(h)
	}
	return true
}

// sayGoodbye tries to send CLOSE, after what is left of a frame under way, and
// makes the reading end soon.
func (c *Conn) sayGoodbye(e *transport.ConnError) {
	c.mu.Lock()
	c.closeTimer = time.AfterFunc(closeWait, c.closeLink)
	w := &c.out
	for w.busy && w.err == nil {
		w.closeReady.Wait()
	}
	ok := w.err == nil
	w.busy = true // for good
	var buf []byte
	if w.mid {
		buf = append(buf, w.queue.head.bytes()...)
	}
	if !w.greeted {
		buf = append(buf, Preface...)
	}
	c.mu.Unlock()
	if ok {
		_, err := c.link.Write(appendClose(buf, uint32(e.Code), cutReason(e.Reason)))
		ok = err == nil
	}
	if half, can := c.link.(interface{ CloseWrite() error }); can && ok {
		_ = half.CloseWrite()
		c.lingerOn()
		return
	}
	c.closeLink()
}

// closeLink closes the link, once.
func (c *Conn) closeLink() {
	c.linkOnce.Do(func() {
		_ = c.link.Close()
		if c.cfg.OnEnd != nil {
			c.cfg.OnEnd()
		}
	})
}

// lingerOn makes the reading end after a moment.
func (c *Conn) lingerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.reading
	r.linger = time.Now().Add(linger)
	switch {
	case r.interrupted: // who leads is to see that first; readOnLocked follows
	case c.limitReads(r.linger) != nil: // does not block
		c.closeTimer.Reset(linger)
	}
}

// tearDown closes the link and waits for what writes to it.
func (c *Conn) tearDown() {
	c.closeLink()
	c.loops.Wait()
	c.mu.Lock()
	timers := []*time.Timer{c.closeTimer, c.out.grace, c.reading.timer}
	if c.resets != nil {
		timers = append(timers, c.resets.timer)
	}
	for _, t := range timers {
		if t != nil {
			t.Stop()
		}
	}
	c.mu.Unlock()
	close(c.gone)
}

// readLoop reads the link, until it fails or the connection is closed, and then
// tears the connection down. It ends before that, with nothing more to do, when
// somebody else has the reading role, or is to take it.
func (c *Conn) readLoop() {
	err := c.readFrames()
	if err == errRetired {
		return
	}
	defer c.tearDown()
	c.startKept()
	e, tell := c.verdict(err)
	if e == nil || !c.end(e) {
		c.discard() // closed here: it reads on for a moment
	} else if tell {
		c.sayGoodbye(e)
		c.discard()
	}
	c.rd.drop()
}

// verdict turns the error that ended the reading into that of the connection,
// nil if it was closed here, and says whether to tell the other side.
func (c *Conn) verdict(err error) (e *transport.ConnError, tell bool) {
	var remote *transport.ConnError
	var lane *laneError
	var frame *FrameError
	var pre *PrefaceError
	switch {
	case err == errOver:
		return nil, false
	case errors.As(err, &lane):
		return lane.end, true
	case errors.As(err, &remote):
		return remote, false
	case errors.As(err, &frame):
		return &transport.ConnError{Code: kith.Internal, Reason: frame.Error(), Err: err}, true
	case errors.As(err, &pre):
		return &transport.ConnError{Code: kith.Internal, Reason: "this is kith", Err: err}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.err != nil {
		err = c.out.err // it came first
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	e = &transport.ConnError{Code: kith.Unavailable, Err: err}
	if c.cfg.LinkCode != nil {
		if code := c.cfg.LinkCode(err); code != kith.OK {
			e.Code = code
		}
	}
	return e, false
}

// writeFailed notes that nothing can be written any more. The connection ends
// when the reading does: soon by itself, or made to. mu held.
func (c *Conn) writeFailed(err error) {
	w := &c.out
	w.err = err
	w.closeReady.Broadcast()
	if c.err == nil {
		w.grace = time.AfterFunc(lastWords, c.closeLink)
	}
}
