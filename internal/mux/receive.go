package mux

import (
	"encoding/binary"
	"strings"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/budget"
	"github.com/kith-go/kith/transport"
)

// What follows runs in readLoop.

// find returns the stream with the id, nil if both ends are done with it. It
// fails for an id that was never used. mu held.
func (c *Conn) find(id uint64) (*Stream, error) {
	if s := c.streams[id]; s != nil {
		return s, nil
	}
	n, used := (id-1)/2, c.peerOpened
	if c.ownID(n) == id {
		used = c.onWire
	}
	if n >= used {
		return nil, frameErrorf("frame on stream %d, which nobody opened", id)
	}
	return nil, nil
}

// open makes the stream that the other side opens. mu held.
func (c *Conn) open(id uint64) (*Stream, error) {
	n := (id - 1) / 2
	switch {
	case c.ownID(n) == id:
		return nil, frameErrorf("stream %d opened by the wrong side", id)
	case n != c.peerOpened:
		return nil, frameErrorf("stream %d opened out of order", id)
	case n >= c.peerLimit:
		return nil, frameErrorf("stream %d opened above the limit of %d", id, c.peerLimit)
	}
	c.peerOpened++
	s := newStream(c, true)
	s.id = id
	c.enter(s)
	if !c.pushStreams && c.err == nil {
		c.accepted = append(c.accepted, s)
		c.mayAccept.leave()
	}
	if c.streamsDue() {
		c.kick()
	}
	return s, nil
}

// findOrOpen returns the stream of a frame, and tells the lane's handler of a
// new one, unless it is stillborn: control does that. mu held, but not while the
// handler is told.
func (c *Conn) findOrOpen(h header) (*Stream, error) {
	if h.flags&flagOpen == 0 {
		return c.find(h.id)
	}
	s, err := c.open(h.id)
	if err != nil {
		return nil, err
	}
	if s.stillborn = h.kind == kindReset; !s.stillborn {
		c.announce(s)
	}
	return s, nil
}

// announce tells the lane's handler of a new stream, if it is to know. mu held,
// but not while it does so.
func (c *Conn) announce(s *Stream) {
	if !c.pushStreams {
		return
	}
	c.mu.Unlock()
	c.inLane.Store(true)
	c.lane.LaneStream(s)
	c.inLane.Store(false)
	c.mu.Lock()
}

// readData takes a DATA frame of a stream. One that is small and all there is
// taken in one step; of others each part is shown to the reader as it comes.
func (c *Conn) readData(h header) error {
	c.mu.Lock()
	s, ch, err := c.beginData(h)
	if err == nil && h.length <= min(smallCopy, len(c.rd.buffered())) {
		s.publish(ch, c.readBuffered(ch, h.length))
		s.endData(ch, h.flags)
		c.mu.Unlock()
		s.readable.Broadcast() // without mu, for which the reader would wait at once
		return nil
	}
	c.mu.Unlock()
	for left := h.length; left > 0 && err == nil; {
		var n int
		if n, err = c.readPart(ch, left); n == 0 {
			continue
		}
		left -= n
		c.mu.Lock()
		if ch = s.publish(ch, n); ch != nil && left > 0 && ch.room() == 0 {
			ch = s.extend(ch, left)
		}
		c.mu.Unlock()
		s.readable.Broadcast()
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	s.endData(ch, h.flags)
	c.mu.Unlock()
	s.readable.Broadcast()
	return nil
}

// readPart puts up to n bytes of payload behind the end of ch, if there is one,
// and returns how many. They are not readable yet.
func (c *Conn) readPart(ch *chunk, n int) (int, error) {
	rd := &c.rd
	if ch != nil {
		n = min(n, ch.room())
	}
	if rd.r < rd.w {
		return c.readBuffered(ch, n), nil
	}
	if n < directRead || ch == nil {
		return 0, c.fill()
	}
	rd.full = false
	c.noteBusy()
	k, err := c.readLink(ch.b[ch.w : ch.w+n])
	if k > 0 {
		err = nil // it comes again
	}
	return k, err
}

// readBuffered is readPart of what was read from the link already.
func (c *Conn) readBuffered(ch *chunk, n int) int {
	p := c.rd.next(n)
	if ch != nil {
		copy(ch.b[ch.w:], p)
	}
	return len(p)
}

// beginData checks a DATA frame and returns its stream, and a chunk with room
// for the payload, or for its beginning; or no chunk, if nobody will read it.
// mu held, but not while it tells the lane's handler of a new stream.
func (c *Conn) beginData(h header) (*Stream, *chunk, error) {
	s, err := c.findOrOpen(h)
	if err != nil {
		return nil, nil, err
	}
	if s == nil || s.recvEnd != notEnded {
		return nil, nil, frameErrorf("data on stream %d after its end", h.id)
	}
	if h.length == 0 {
		if h.flags&(flagOpen|flagEnd) == 0 {
			return s, nil, c.useless()
		}
		return s, nil, nil
	}
	c.rd.waste.useful()
	cost := frameCost(h.length)
	if !s.win.receive(cost) || !c.recv.receive(cost) {
		return nil, nil, frameErrorf("data on stream %d beyond its credit", h.id)
	}
	if h.flags&waitedFlags != 0 {
		s.grow(h.flags)
	}
	c.relieve()
	if s.closed {
		s.win.used += frameOverhead
		c.creditConn(frameOverhead)
		return s, nil, nil
	}
	s.unread += frameOverhead
	ch := s.queue.tail
	if ch == nil || ch.room() < h.length {
		ch = newChunk(max(min(h.length, c.rd.trusted()), int(min(s.unread, maxData/4))))
		s.queue.push(ch)
	}
	ch.overhead += frameOverhead
	s.filling = ch
	return s, ch, nil
}

// extend returns another chunk for the n bytes that are missing of a payload
// whose first part fills full. mu held.
func (s *Stream) extend(full *chunk, n int) *chunk {
	ch := newChunk(min(n, s.c.rd.trusted()))
	s.queue.push(ch)
	s.filling = ch
	if full.r == full.w && s.queue.head == full {
		s.advance(full, 0) // read while it was filled
	}
	return ch
}

// grow makes windows larger for a sender that had to wait for credit.
func (s *Stream) grow(flags uint8) {
	c := s.c
	if flags&flagStream != 0 {
		s.win.size += s.win.wantGrowth()
		if s.win.due() && !s.closed {
			s.mark(pendingWindow)
		}
	}
	if flags&flagConn == 0 {
		return
	}
	c.growConn(c.recv.wantGrowth())
}

// growConn makes the connection's window larger, if n is not 0 and the process
// can bear it. mu held.
func (c *Conn) growConn(n uint64) {
	if n > 0 && c.err == nil && budget.Windows.Draw(n) {
		c.recv.size += n
		c.grown += n
		c.creditConn(0)
	}
}

// relieve makes the connection's window larger if it is full of what is not
// read. Else a few streams whose readers wait for something would hold up all
// others, perhaps those they wait for. An application that does not read at
// all, as one that has not admitted the other side yet, is not helped. mu held.
func (c *Conn) relieve() {
	if c.live && c.recv.full() {
		c.growConn(min(c.recv.size, c.recv.max-c.recv.size))
	}
}

// creditConn gives cost back to the other side. mu held.
func (c *Conn) creditConn(cost uint64) {
	c.recv.used += cost
	if c.recv.due() && !c.out.windowDue {
		c.out.windowDue = true
		c.kick()
	}
}

// publish makes the next n bytes in ch readable. It returns ch, or nil if
// nobody will read them, nor the rest. mu held.
func (s *Stream) publish(ch *chunk, n int) *chunk {
	if s.closed || ch == nil {
		s.filling = nil // a Read may still copy from it, so it is not freed
		s.win.used += uint64(n)
		s.c.creditConn(uint64(n))
		return nil
	}
	ch.w += n
	s.unread += uint64(n)
	return ch
}

// endData ends a DATA frame whose payload is in ch, if there was any. mu held.
func (s *Stream) endData(ch *chunk, flags uint8) {
	s.filling = nil
	if ch != nil && !s.closed && ch.r == ch.w && s.queue.head == ch {
		s.advance(ch, 0) // read while it was filled
	}
	if flags&flagEnd != 0 {
		s.recvEnd = finished
		s.settle()
	}
}

// control takes a frame that is not DATA; p is its payload.
func (c *Conn) control(h header, p []byte) error {
	if h.kind == kindClose {
		return &transport.ConnError{
			Code:   kith.Code(binary.BigEndian.Uint32(p)),
			Reason: strings.ToValidUTF8(string(p[4:]), "\uFFFD"),
			Remote: true,
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	effect := false
	switch {
	case h.kind == kindStreams:
		effect = c.onStreams(binary.BigEndian.Uint64(p))
	case h.id == 0:
		effect = c.send.raise(binary.BigEndian.Uint64(p)) >= minGrant
		c.needy.wake()
	default:
		s, err := c.findOrOpen(h)
		if err != nil {
			return err
		}
		if s != nil {
			effect = s.control(h.kind, p)
		}
		if h.flags&flagOpen != 0 && s.stillborn {
			c.announce(s) // its end before it, so that all is settled here
		}
	}
	if !effect {
		return c.useless()
	}
	if h.flags&flagOpen != 0 {
		c.rd.waste.useful()
	}
	return nil
}

// minGrant is the grant below which a WINDOW frame counts as useless.
const minGrant = 1024

func (c *Conn) onStreams(limit uint64) bool {
	if limit <= c.openLimit {
		return false
	}
	c.openLimit = limit
	if c.mayOpen() {
		c.hasRoom.leave()
	}
	return true
}

// control takes a frame about the stream. It returns whether it changed
// anything. mu held.
func (s *Stream) control(k kind, p []byte) bool {
	switch k {
	case kindWindow:
		n := s.send.raise(binary.BigEndian.Uint64(p))
		s.writable.Broadcast()
		return n >= minGrant
	case kindReset:
		if s.recvEnd == aborted {
			return false
		}
		s.recvEnd = aborted
		s.gone = s.remote && !s.closed // else it may be the answer to our STOP
		s.recvCode = kith.Code(binary.BigEndian.Uint32(p))
		s.dropUnread()
		s.wakeReader()
		s.settle()
		return true
	}
	if s.sendEnd != notEnded {
		return false
	}
	// The other side reads no more; tell it that nothing more comes.
	s.sendEnd = abandoned
	s.sendCode = kith.Code(binary.BigEndian.Uint32(p))
	s.mark(pendingReset)
	s.wakeWriter()
	return true
}
