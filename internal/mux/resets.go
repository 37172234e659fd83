package mux

import (
	"time"

	"github.com/kith-go/kith/internal/ration"
)

// resetsDue is how long places are held back, before those go that may.
const resetsDue = time.Millisecond

// resets holds back the places of streams that the other side opened and reset, where
// these are more than anybody needs. It opens no faster then than they come free; what
// else it sends is read without delay. It is guarded by the connection's mutex.
type resets struct {
	spent time.Time // until when the budget is, but for the burst
	held  uint64    // places
	timer *time.Timer
}

// take takes n places out of the budget, or as many as it has, and returns how many.
func (r *resets) take(n uint64, now time.Time) uint64 {
	if full := now.Add(-ration.ResetBurst * ration.ResetInterval); r.spent.Before(full) {
		r.spent = full
	}
	n = min(n, uint64(max(now.Sub(r.spent), 0)/ration.ResetInterval))
	r.spent = r.spent.Add(time.Duration(n) * ration.ResetInterval)
	return n
}

// freeReset gives the place of a settled stream back that the other side reset, now or
// later. mu held.
func (c *Conn) freeReset() {
	if c.resets == nil {
		c.resets = &resets{}
	}
	r := c.resets
	r.held++
	if r.held > 1 {
		return // the timer runs
	}
	if c.freeHeld(); r.held == 0 || c.err != nil {
		return
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(resetsDue, c.resetsRested)
	} else {
		r.timer.Reset(resetsDue)
	}
}

// freeHeld gives those places back that may go. mu held.
func (c *Conn) freeHeld() {
	n := c.resets.take(c.resets.held, time.Now())
	c.resets.held -= n
	c.peerDone += n
}

// resetsRested gives places back that were held, until none is.
func (c *Conn) resetsRested() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.freeHeld()
	c.kick()
	if c.resets.held > 0 {
		c.resets.timer.Reset(resetsDue)
	}
}
