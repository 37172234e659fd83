package mux

import (
	"errors"
	"os"
)

// Offer lets callers read the link themselves, see [Conn.Lead], if nothing speaks
// against it. Only a method of the [LaneHandler] may call it, when no call waits
// for anything, and before the next one can be made.
func (c *Conn) Offer() {
	if c.timedReads {
		c.reading.change(RoleLoop, RoleOffered)
	}
}

// retire carries out an Offer. It reports false if readLoop is to go on.
func (c *Conn) retire() bool {
	rd, r := &c.rd, &c.reading
	if r.load() != RoleOffered {
		return false
	}
	if rd.r != rd.w || rd.lane == nil {
		r.store(RoleLoop)
		return false
	}
	if rd.timed {
		c.timeReads(false)
	}
	c.makeWatch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.out.err != nil || len(c.streams) > 0 || len(c.unopened) > 0 {
		r.store(RoleLoop)
		return false
	}
	r.store(RoleFree)
	if r.wanted.Load() && r.change(RoleFree, RoleLoop) {
		r.wanted.Store(false)
		return false
	}
	c.keep()
	return true
}

// Lead reads the link, if the reading role is free, and hands what comes to the
// LaneHandler, in the calling goroutine. It waits until something whole comes, or
// the connection ends, or for MaxLead. If it returns true, the caller has the role: it
// must call [Conn.Leave] next, and may use what only the LaneHandler's methods may until
// then. If it returns false, readLoop reads, or another caller does and will
// have readLoop do so.
//
// Who leads takes whole frames of the lane and nothing else. For whatever else
// there is, an error too, readLoop is started.
func (c *Conn) Lead() bool {
	r := &c.reading
	if !r.change(RoleFree, RoleLed) {
		c.ReadOn()
		return false
	}
	c.keep()
	// If the connection ends after this look at over, end interrupts the Read.
	if c.over.Load() || !c.leadRead() {
		c.Leave(false)
		return false
	}
	return true
}

// leadRead reports false if there is something for readLoop to do. It may leave a
// large buffer behind: once nobody leads any more, readLoop is back, and sees to that.
func (c *Conn) leadRead() bool {
	rd := &c.rd
	for begun := true; begun; {
		rd.adjust()
		n, err := c.link.Read(rd.buf[rd.w:])
		if n == 0 {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				rd.err = err
			}
			return false
		} // else an error comes again
		rd.w += n
		rd.full, rd.short = rd.w == len(rd.buf), n <= smallRead
		rd.total = min(rd.total+n, maxData)
		if begun, rd.err = c.leadFrames(); rd.err != nil || rd.call != nil || c.over.Load() {
			return false
		}
	}
	return rd.r == rd.w
}

// leadFrames takes the whole frames of the lane that are buffered, up to the first
// one that is something else. It reports whether another one has begun, of a size
// that can be buffered whole.
func (c *Conn) leadFrames() (begun bool, err error) {
	rd := &c.rd
	for rd.w-rd.r >= headerLen && !c.over.Load() {
		h, err := parseHeader(rd.buffered())
		size := headerLen + h.length
		switch {
		case err != nil || h.kind != kindData || h.id != 0 || h.length == 0 || size > largeRead:
			return false, nil // readLoop will see
		case rd.w-rd.r < size:
			return true, nil
		}
		rd.next(headerLen)
		rd.waste.useful()
		if err := c.laneData(rd.next(h.length)); err != nil {
			return false, err
		}
		rd.pace.Add(1)
	}
	return false, nil
}

// Leave gives up the role that [Conn.Lead] took: free for the next caller, or to
// readLoop.
func (c *Conn) Leave(free bool) {
	r := &c.reading
	if !free {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.store(RoleLoop)
		c.readOnLocked()
		return
	}
	r.store(RoleFree)
	if r.wanted.Load() || c.over.Load() {
		c.ReadOn()
	}
}
