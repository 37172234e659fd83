package memory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// What ended a connection that neither side closed.
var (
	errReset = errors.New("reset by the network")
	errCrash = errors.New("host went down")
	errMoved = errors.New("host moved")
)

// lost is the end of a connection that the network ended.
func lost(cause error) *transport.ConnError {
	return &transport.ConnError{Code: kith.Unavailable, Err: cause}
}

// A conn is one end of a connection. It runs no goroutine. See [transport.Conn].
type conn struct {
	circ    *circuit
	side    int   // index in circ.ends
	out     *line // carries what this end sends
	owner   *Transport
	info    transport.Info
	window  int // in bytes, of each stream towards this end
	limit   int // of streams that this end opens; negative for none
	ctx     context.Context
	cancel  context.CancelCauseFunc
	ended   atomic.Pointer[transport.ConnError] // set under circ.mu
	crashed atomic.Bool                         // its host went down with it

	accepts  queue[*stream]
	slotFree chan struct{} // holds a token whenever a slot may be free
	slots    int           // in use by streams that this end opened; guarded by circ.mu
}

func (c *conn) init(circ *circuit, side int, owner *Transport, out *line, peer *Transport) {
	c.circ, c.side, c.owner, c.out = circ, side, owner, out
	c.window, c.limit = owner.window, peer.maxStreams
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.slotFree = make(chan struct{}, 1)
	c.accepts.init(-1) // the slots bound it
}

func (c *conn) peer() *conn { return &c.circ.ends[c.side^1] }

func (c *conn) OpenStream(ctx context.Context) (transport.Stream, error) {
	for waited := false; ctx.Err() == nil; waited = true {
		s, err := c.tryOpen()
		if err != nil {
			return nil, fmt.Errorf("open stream: %w", err)
		}
		if s != nil {
			if waited {
				notify(c.slotFree) // the token may have stood for several slots
			}
			return s, nil
		}
		select {
		case <-c.slotFree:
		case <-c.ctx.Done():
		case <-ctx.Done():
		}
	}
	notify(c.slotFree) // it may have been this call that took the token
	return nil, fmt.Errorf("open stream: %w", c.endedOr(ctx.Err()))
}

// tryOpen returns nil if all slots are in use.
func (c *conn) tryOpen() (*stream, error) {
	c.circ.mu.Lock()
	defer c.circ.mu.Unlock()
	if err := c.ended.Load(); err != nil {
		return nil, err
	}
	if c.limit >= 0 && c.slots >= c.limit {
		return nil, nil
	}
	c.slots++
	d := newDuplex(c.circ, c.side)
	c.circ.add(d)
	return &d.ends[c.side], nil
}

func (c *conn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	s, ok := c.accepts.get(ctx, c.ctx.Done())
	if ok {
		return s, nil
	}
	return nil, fmt.Errorf("accept stream: %w", c.endedOr(ctx.Err()))
}

func (c *conn) Context() context.Context { return c.ctx }

func (c *conn) Info() transport.Info { return c.info }

func (c *conn) CloseWithError(code kith.Code, reason string) error {
	reason = reason[:min(len(reason), transport.MaxReason)]
	if c.fail(&transport.ConnError{Code: code, Reason: reason}) {
		peer := c.peer()
		c.tell(func() { peer.fail(&transport.ConnError{Code: code, Reason: reason, Remote: true}) })
	}
	return nil
}

// tell does what the other end is to see, once word of it has got there.
func (c *conn) tell(do func()) {
	if !c.circ.shaped(c.out) {
		do()
		return
	}
	c.out.post(func() {
		if c.circ.admits(c.side ^ 1) {
			do()
		}
	})
}

// fail ends this end alone. It reports whether that was news.
func (c *conn) fail(err *transport.ConnError) bool {
	open, last, ok := c.circ.end(c.side, err)
	if !ok {
		return false
	}
	for _, d := range open {
		s := &d.ends[c.side]
		s.in.endRead(err)
		s.out.endWrite(err)
	}
	c.accepts.close()
	c.cancel(err)
	c.circ.net.forget(c, last)
	return true
}

// endedOr returns how the connection ended, or err if it has not.
func (c *conn) endedOr(err error) error {
	if e := c.ended.Load(); e != nil {
		return e
	}
	return err
}
