package client

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/kith-go/kith/internal/backoff"
)

// dialler is how far a client has got in connecting. It is guarded by
// Client.mu.
type dialler struct {
	changed chan struct{} // closed when any of this changes; nil while nobody waits for that
	waiting int           // callers that wait for a connection

	running bool      // there is a connectLoop
	stop    func()    // ends it; nil while there is none
	keep    bool      // connect also if no call waits
	first   int       // which address to begin with
	early   *conn     // its hello is not over, and idempotent calls may follow it; nil if there is none
	trying  []Attempt // of the round under way, the last one still going on

	strikes int        // failures in a row, of rounds and of connections that did not last
	hold    time.Time  // no attempt before then
	soft    bool       // the hold is for the sake of others: a call need not wait
	last    *DialError // why there is no connection, nil after a connection that lasted
	lost    bool       // last is of a connection that did not last, not of a round
	fails   uint64     // rounds that failed
	dials   uint64     // attempts
	failed  uint64     // attempts that failed
	drops   uint64     // connections that were lost
}

// briefPause is the longest pause that a call waits out which does not wait for
// ready, if no address has failed since there was a connection.
const briefPause = time.Second

// wakeLocked lets everyone look again who waits for a change.
func (c *Client) wakeLocked() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// changeLocked returns what to wait on for a change.
func (c *Client) changeLocked() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// acquire returns a conn to make a call on, and sees to it that there will be
// one. Unless patient, it fails when all addresses have failed, and while they
// are not tried again; if patient, only where waiting does not help. If early,
// the conn's hello may be still going on: should that fail, nobody knows whether
// a call ran. The end of ctx ends the waiting only.
func (c *Client) acquire(ctx context.Context, patient, early bool) (*conn, error) {
	if cn := c.live.Load(); cn != nil {
		return cn, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	defer c.leaveLocked()
	fails := c.fails
	for {
		if c.closing {
			return nil, ErrClosed
		}
		if cn := c.live.Load(); cn != nil {
			return cn, nil
		}
		if early && c.early != nil {
			return c.early, nil
		}
		if c.hopelessLocked(fails) && (!patient || c.last.forGood()) {
			return nil, c.last
		}
		if ctx.Err() != nil {
			return nil, &waitError{ctx: ctx.Err(), tried: c.triedLocked()}
		}
		c.startLocked()
		changed := c.changeLocked()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
}

// leaveLocked ends a caller's waiting. The last one to leave lets connectLoop
// see that nobody needs it.
func (c *Client) leaveLocked() {
	c.waiting--
	if c.waiting == 0 && c.running {
		c.wakeLocked()
	}
}

// hopelessLocked reports whether a call that began to wait after so many
// failed rounds should fail now with c.last. A short pause after a connection
// that did not last is waited out.
func (c *Client) hopelessLocked(fails uint64) bool {
	if c.last == nil {
		return false
	}
	if c.fails != fails {
		return true
	}
	left := time.Until(c.hold)
	return left > 0 && (!c.lost || left > briefPause)
}

// triedLocked returns what was tried in the round under way, or else in the
// last one; nil if nothing was.
func (c *Client) triedLocked() *DialError {
	if len(c.trying) == 0 {
		return c.last
	}
	tried := slices.Clone(c.trying)
	if last := &tried[len(tried)-1]; last.Err == errPending {
		last.Took = time.Since(last.At)
	}
	return &DialError{Attempts: tried}
}

// tried returns what there is to say of a call that had no connection so far,
// nil if there is one.
func (c *Client) tried() *DialError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live.Load() != nil {
		return nil
	}
	return c.triedLocked()
}

// startLocked starts connectLoop unless it runs. c is not closing.
func (c *Client) startLocked() {
	if c.soft && c.waiting > 0 {
		c.soft, c.hold = false, time.Time{}
		c.wakeLocked()
	}
	if c.running {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.running, c.stop = true, cancel
	c.loops.Add(1)
	go c.connectLoop(ctx, cancel)
}

// connectLoop tries the addresses, and again after a pause, until one leads to
// a connection or nobody needs one. Close ends it, and waits for it.
func (c *Client) connectLoop(ctx context.Context, cancel context.CancelFunc) {
	defer c.loops.Done()
	defer cancel()
	for c.pause(ctx) && !c.round(ctx) {
	}
}

// pause waits until the next round may begin. It reports false if there is to
// be none: connectLoop is not running any more then.
func (c *Client) pause(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closing || ctx.Err() != nil || c.live.Load() != nil || !c.keep && c.waiting == 0 {
			c.running, c.stop = false, nil
			return false
		}
		left := time.Until(c.hold)
		if left <= 0 {
			return true
		}
		changed := c.changeLocked()
		c.mu.Unlock()
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
		}
		t.Stop()
		c.mu.Lock()
	}
}

// round tries each address once, and reports whether that led to a connection:
// connectLoop is not running any more then.
func (c *Client) round(ctx context.Context) bool {
	c.mu.Lock()
	first := c.first
	c.trying = nil
	c.mu.Unlock()
	for i := range c.addrs {
		if c.attempt(ctx, (first+i)%len(c.addrs)) {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	c.strikes++
	c.fails++
	c.last, c.lost = &DialError{Attempts: c.trying}, false
	c.trying = nil
	pause := backoff.Pause(c.cfg.BackoffBase, c.cfg.BackoffMax, c.strikes)
	c.hold, c.soft = time.Now().Add(pause), false
	err := c.last
	c.wakeLocked()
	c.mu.Unlock()
	c.cfg.Logger.Warn("no connection", slog.String("err", err.Error()), slog.Duration("pause", pause))
	return false
}
