package session

import (
	"sync/atomic"

	"github.com/kith-go/kith/internal/wire"
)

// outcomes is the lane calls whose handlers have returned and whose outcomes are
// not in the lane's buffer yet. A call that is here keeps its slot and its
// place among the Workers', so there are no more of them than the limits allow.
//
// Workers do not append outcomes themselves: where a session has a thousand of
// them, they would stand in line at Session.mu, and each that gets it is one more
// goroutine that those of other sessions wait behind. They leave the call here and
// go on, and whoever fills the buffer next appends it. Only the one that finds
// nothing here sees to it that somebody does.
type outcomes struct {
	come atomic.Pointer[inCall] // the last to come, linked to those before it by buf.next

	first *inCall // those taken from come, in order; guarded by Session.mu
}

// add leaves c, and reports whether nobody is about to take it.
func (o *outcomes) add(c *inCall) bool {
	for {
		last := o.come.Load()
		c.buf.next = last
		if o.come.CompareAndSwap(last, c) {
			return last == nil
		}
	}
}

// peekLocked returns the first of the calls, nil if there is none.
func (o *outcomes) peekLocked() *inCall {
	if o.first != nil || o.come.Load() == nil {
		return o.first
	}
	c := o.come.Swap(nil)
	for c != nil { // turn them round
		before := c.buf.next
		c.buf.next, o.first = o.first, c
		c = before
	}
	return o.first
}

// takeLocked takes the call that peekLocked returned.
func (o *outcomes) takeLocked() {
	c := o.first
	o.first, c.buf.next = c.buf.next, nil
}

// sendOutcome has the outcome of c sent, which is in its buffers. c is the
// session's from now on.
func (s *Session) sendOutcome(c *inCall) {
	if s.outcomes.add(c) {
		s.mu.Lock()
		s.sendLocked(true)
	}
}

// appendOutcomesLocked appends as many outcomes as there is room for. When
// the session has ended it drops them all.
func (s *Session) appendOutcomesLocked() {
	for c := s.outcomes.peekLocked(); c != nil; c = s.outcomes.peekLocked() {
		b := c.buf
		if s.out.dead == nil {
			if !s.lane.hasRoom(b.size) {
				return
			}
			s.appendOutcomeLocked(c)
		}
		s.outcomes.takeLocked()
		c.leave()
		c.putBuffers()
	}
}

func (s *Session) appendOutcomeLocked(c *inCall) {
	s.lane.frames++
	b := s.lane.bytes(wire.LaneHeader + c.buf.size)
	start := len(*b)
	if c.buf.failed {
		*b = wire.EndLane(c.buf.fail.Append(appendUvarint(wire.AppendLane(*b, wire.FrameFail), c.id)), start)
		return
	}
	dst := appendUvarint(wire.AppendLane(*b, wire.FrameAnswer), c.id)
	dst = append(wire.AppendTrailer(dst, c.buf.fail.Trailer), c.buf.resp...)
	*b = wire.EndLane(dst, start)
}
