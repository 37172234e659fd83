package mux

import (
	"sync/atomic"
	"time"
)

// A Role says who has the reading role of a Conn: may read the link, and use
// Conn.rd. As a rule readLoop has it for good. But where one call follows the
// other with nothing else going on, the hand-overs between readLoop, the caller and
// the handler cost more than all the rest, as each of them has the scheduler wake a
// thread. Then the role goes to where the bytes are wanted:
//
//   - a caller that waits for its answer reads the link itself (it leads);
//   - whoever read a call runs its handler, and lends the role for that time.
//
// Nobody else waits for that: whoever reads gives the role away before it runs
// what it does not know, and watch sees to it that somebody reads the link again
// where nobody does, or where who leads waits for more than its answer.
//
//	from         to           who              where
//	RoleLoop     RoleOffered  readLoop         Offer, called by the LaneHandler
//	RoleOffered  RoleLoop     readLoop         retire, if something speaks against it
//	RoleOffered  RoleFree     readLoop, last   retire
//	RoleFree     RoleLed      a caller         Lead
//	RoleLed      RoleFree     that caller      Leave(true)
//	RoleLed      RoleLoop     that caller      Leave(false); starts readLoop
//	RoleLoop     RoleLent     readLoop         lend
//	RoleLent     RoleLoop     the same         lend, when the handler has returned
//	RoleFree     RoleLoop     anybody, mu held take; starts readLoop
//	RoleLent     RoleLoop     anybody, mu held take; starts readLoop; the lender
//	                                           ends when its handler has returned
//
// What the holder of the role did is seen by the next one, since every change is
// an atomic one, or comes before the start of readLoop.
//
// One caller, 32 bytes over loopback, two processors, before and after, medians: in
// one process 9.5 and 8.1 us over TCP, 11.5 and 9.4 over TLS (a bare ping-pong takes
// 6.3), at half the processor time; in two processes 65 and 34 us over TCP, 65 and 35
// over TLS. Either of the two alone gains little: a hand-over that is left still
// wakes a thread. Several callers at once do not come here.
type Role uint32

const (
	RoleLoop    Role = iota // readLoop's
	RoleOffered             // readLoop's, which is about to leave it
	RoleFree                // nobody's
	RoleLed                 // the caller's that is between Lead and Leave
	RoleLent                // nobody's: readLoop runs a handler, and takes it back if nobody did
)

// MaxLead is how long [Conn.Lead] waits at the longest, and how long nobody reads
// while the role is free or lent. It is short as a caller whose ctx ends, and what
// comes while a handler blocks, may have to wait for it.
const MaxLead = 2 * time.Millisecond

// reading is the state of a Conn's reading role.
type reading struct {
	role   atomic.Uint32 // a Role
	wanted atomic.Bool   // who leads, or retires, is not to leave the role free

	// timer calls watch, MaxLead after kept. It is made when readLoop first gives the
	// role away, with Conn.mu held.
	timer *time.Timer
	base  time.Time    // when it was made
	kept  atomic.Int64 // when it was last set, since base

	interrupted bool      // the link's read deadline was moved to the past; guarded by Conn.mu
	linger      time.Time // the read deadline of a closing link; guarded by Conn.mu
}

// Role returns who has the reading role, for tests: it may change at any time.
func (c *Conn) Role() Role { return c.reading.load() }

func (r *reading) load() Role { return Role(r.role.Load()) }

func (r *reading) store(to Role) { r.role.Store(uint32(to)) }

func (r *reading) change(from, to Role) bool {
	return r.role.CompareAndSwap(uint32(from), uint32(to))
}

// take takes the role for a readLoop to be started, if nobody has it. Conn.mu held.
func (r *reading) take() bool {
	return r.change(RoleFree, RoleLoop) || r.change(RoleLent, RoleLoop)
}

// ReadOn says that somebody waits for what comes and does not lead: from now on,
// or from when who leads now has done so, readLoop reads the link. It does not
// block.
func (c *Conn) ReadOn() {
	r := &c.reading
	if r.load() == RoleLoop {
		return
	}
	r.wanted.Store(true) // before the look at role: who leaves it does this the other way round
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.take() {
		c.readOnLocked()
	}
}

// readOnLocked starts readLoop, for which the caller has taken the role. mu held.
func (c *Conn) readOnLocked() {
	r := &c.reading
	if r.interrupted {
		r.interrupted = false
		_ = c.limitReads(r.linger) // does not block
	}
	r.wanted.Store(false)
	// Ends when the link fails or is closed, for which CloseWithError waits, or
	// when the role is free again, with nothing more to do.
	go c.readLoop()
}

// interruptLead makes the Read of whoever leads return. mu held.
func (c *Conn) interruptLead() {
	r := &c.reading
	if r.load() == RoleLed && !r.interrupted {
		r.interrupted = true
		_ = c.limitReads(time.Unix(1, 0)) // does not block
	}
}

// makeWatch makes the timer, for readLoop, which is about to give the role away.
func (c *Conn) makeWatch() {
	r := &c.reading
	if r.timer != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.base = time.Now()
	r.timer = time.AfterFunc(MaxLead, c.watch)
}

// keep puts watch off. It is called right after the role was given away or taken by
// a caller: what was kept half of MaxLead ago, or later, watch looks after in time.
func (c *Conn) keep() {
	r := &c.reading
	now := time.Since(r.base)
	if now-time.Duration(r.kept.Load()) > MaxLead/2 && !c.over.Load() { // after the end, end sees to the role
		r.kept.Store(int64(now)) // before Reset, see watch
		r.timer.Reset(MaxLead)
	}
}

// watch runs when the role was not kept for long enough: either nobody has used it
// since, or somebody has been at it for half of MaxLead at least. While the role is
// used again and again it does not run, as it would start a goroutine, and that
// wake a thread.
func (c *Conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.reading
	if c.err != nil || time.Since(r.base)-time.Duration(r.kept.Load()) < MaxLead {
		return // in the second case it is about to be set again
	}
	if r.take() {
		c.readOnLocked()
	} else if r.load() == RoleLed {
		c.interruptLead()
		r.timer.Reset(MaxLead) // who leads may have got what it waits for
	}
}
