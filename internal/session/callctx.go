package session

import (
	"context"
	"sync"
	"time"

	"github.com/kith-go/kith"
)

// callCtx is a handler's ctx. It costs nothing until somebody asks for Done:
// no channel, no timer, no goroutine. The zero value is a ctx without deadline.
type callCtx struct {
	deadline time.Time // zero for none; set before the handler starts

	mu    sync.Mutex
	err   error                   // guarded by mu
	done  chan struct{}           // made by the first Done; closed with err; guarded by mu
	timer *time.Timer             // runs from the first Done until the end; guarded by mu
	after map[*afterFunc]struct{} // what to run at the end; guarded by mu
}

type afterFunc struct{ f func() }

// Deadline implements [context.Context].
func (c *callCtx) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements [context.Context].
func (c *callCtx) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			c.armLocked()
		}
	}
	return c.done
}

// armLocked makes the deadline happen by itself, once somebody waits for it.
func (c *callCtx) armLocked() {
	if c.timer == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
	}
}

// Err implements [context.Context].
func (c *callCtx) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return context.DeadlineExceeded
	}
	return err
}

// AfterFunc makes derived contexts end with this one without a goroutine
// each: package context looks for it.
func (c *callCtx) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // as context.AfterFunc does
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*afterFunc]struct{})
	}
	c.after[a] = struct{}{}
	c.armLocked()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[a]
		delete(c.after, a)
		return waiting
	}
}

// cancel ends the ctx because the caller or the connection is gone. A
// deadline that has passed is why the caller is gone: its word and the clock
// here race, and the handler is to see one cause.
func (c *callCtx) cancel() {
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return
	}
	c.end(context.Canceled)
}

// end ends the ctx. The first call decides, and returns true.
func (c *callCtx) end(err error) bool {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for a := range after {
		a.f() // derived contexts: they only pass the end on
	}
	return true
}

// Done implements [context.Context]. Whoever asks for it may wait for it.
func (c *inCall) Done() <-chan struct{} {
	c.s.readOn()
	return c.callCtx.Done()
}

// AfterFunc is as callCtx's.
func (c *inCall) AfterFunc(f func()) (stop func() bool) {
	c.s.readOn()
	return c.callCtx.AfterFunc(f)
}

// Value implements [context.Context].
func (c *inCall) Value(key any) any {
	if _, ok := key.(kith.CallKey); ok {
		return kith.Inbound(c)
	}
	return nil
}
