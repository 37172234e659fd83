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

// Lead reads the link, if the reading role is free, and hands one frame to the
// LaneHandler, in the calling goroutine. It waits until that has come, or something
// else does, or the connection ends, or for MaxLead. If it returns true, the caller has the
// role: it must call [Conn.Leave] next, and may use what only the LaneHandler's methods may
// until then. If it returns false, readLoop reads, or another caller does and will have
// readLoop do so.
//
// Who leads takes what [LaneHandler.LaneLed] takes and nothing else. For whatever else there
// is, also behind that, and for an error, readLoop is started: so the other side cannot
// hold a caller up with more than a caller waits for, however much comes at once.
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
	for {
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
		if size := rd.laneFrame(); size == 0 || rd.w-rd.r >= size {
			return size > 0 && c.leadFrame(size) && rd.r == rd.w && !c.over.Load()
		}
	}
}

// laneFrame returns the size of the frame that comes next, if that is one of the lane
// which can be buffered whole; else 0.
func (rd *reader) laneFrame() int {
	if rd.w-rd.r < headerLen {
		return 0
	}
	h, err := parseHeader(rd.buffered())
	size := headerLen + h.length
	if err != nil || h.kind != kindData || h.id != 0 || h.length == 0 || size > largeRead {
		return 0
	}
	return size
}

// leadFrame takes the frame that comes next, of that size, if it is for who leads. It does
// not count for the pace: there is one of them for each call that this side makes.
func (c *Conn) leadFrame(size int) bool {
	rd := &c.rd
	c.inLane.Store(true)
	taken, err := rd.lane.LaneLed(rd.buffered()[headerLen:size])
	c.inLane.Store(false)
	if !taken {
		return false
	}
	rd.next(size)
	rd.waste.useful()
	rd.err = laneErr(err)
	return err == nil
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
