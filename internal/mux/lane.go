package mux

import (
	"errors"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// Headroom is how many bytes at the start of the buffer given to
// [Conn.WriteLane] are left free, for headers.
const Headroom = 16

// A LaneHandler takes what comes on a connection on behalf of a session. Its
// methods are called by the goroutine that reads the link, one at a time, and
// must not block.
type LaneHandler interface {
	// LaneData gets the lane's next bytes, in order. p is valid until it
	// returns. An error closes the connection: with its code and reason if it
	// is a [*transport.ConnError], else with [kith.Internal].
	LaneData(p []byte) error

	// LaneLed is LaneData for a goroutine that called [Conn.Lead], and p the payload of one
	// whole frame. It takes it only if that is nothing but the end of one call, which
	// must not take long; else it returns false, having done nothing, and LaneData gets it.
	LaneLed(p []byte) (taken bool, err error)

	// LaneStream gets every stream that the other side opens, when its first
	// frame has come.
	LaneStream(s *Stream)

	// LaneEnd is called when the connection has ended, its Context too, unlike the
	// others on a goroutine of its own: it may block, and call CloseWithError.
	LaneEnd()
}

// StartLane makes h the receiver of the lane and of the other side's streams,
// which [Conn.AcceptStream] then does not return, and starts reading.
//
// It returns false, having done nothing, if the connection is in use: a stream
// was opened, by either side, or the lane's first bytes came before. The lane
// can then be had from AcceptStream, or be any stream that both ends agree on.
func (c *Conn) StartLane(h LaneHandler) bool { return c.startLane(h, true) }

// StartBareLane is StartLane for the lane alone: the other side's streams are
// AcceptStream's, and LaneStream is not called.
func (c *Conn) StartBareLane(h LaneHandler) bool { return c.startLane(h, false) }

func (c *Conn) startLane(h LaneHandler, streams bool) bool {
	c.mu.Lock()
	unused := c.lane == nil && c.laneStream == nil && c.opened == 0 && c.peerOpened == 0
	if unused {
		c.lane, c.pushStreams = h, streams
	}
	ended := c.err != nil
	c.mu.Unlock()
	switch {
	case unused && ended:
		go c.laneEndHandler(h)
	case unused:
		c.start()
	}
	return unused
}

// laneEndHandler tells h that the connection has ended: a context.AfterFunc would take
// half a kilobyte as long as the connection lives. It ends when h has done what it does
// then; nobody waits for it.
func (c *Conn) laneEndHandler(h LaneHandler) {
	<-c.ctx.Done() // err is set a moment before
	h.LaneEnd()
}

// WriteLane writes p[Headroom:] as data of the lane, together with whatever
// frames are pending, in the calling goroutine. It returns when the link has
// taken all of it, or with a [*transport.ConnError] when the connection has
// ended. p may be used again then; its content is not kept. One goroutine may
// call it at a time.
func (c *Conn) WriteLane(p []byte) error {
	for len(p) > Headroom+maxLane {
		if err := c.writeLaneFrame(p[:Headroom+maxLane]); err != nil {
			return err
		}
		p = p[maxLane:] // the next header goes over what was written
	}
	if len(p) <= Headroom {
		return nil
	}
	return c.writeLaneFrame(p)
}

func (c *Conn) writeLaneFrame(p []byte) error {
	putHeader(p[Headroom-headerLen:], header{kind: kindData, length: len(p) - Headroom})
	p = p[Headroom-headerLen:]
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.out
	w.laneWaits = true
	for c.err == nil && (w.busy || w.mid) {
		w.laneReady.Wait()
	}
	w.laneWaits = false
	if c.err != nil {
		return c.err
	}
	w.busy = true
	var ctl *chunk
	if w.queue.head == nil {
		ctl = c.takeControl()
	} // else it has to stay behind what is queued
	c.mu.Unlock()
	err := c.writeLink(ctl, p)
	c.mu.Lock()
	c.release(err)
	for err != nil && c.err == nil {
		w.laneReady.Wait() // the reader will know better why
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

// oneWrite is up to which size frames are copied together rather than gathered,
// which some links cannot, and costs the others memory that they keep.
const oneWrite = 4 << 10

// writeLink writes ctl, if it is not nil, and p. The caller has the writer
// role, and not mu.
func (c *Conn) writeLink(ctl *chunk, p []byte) error {
	if ctl == nil {
		n, err := c.link.Write(p)
		return shortWrite(n, len(p), err)
	}
	defer ctl.free()
	switch {
	case ctl.w+len(p) <= oneWrite:
		both := newChunk(ctl.w + len(p))
		defer both.free()
		both.append(ctl.bytes())
		both.append(p)
		n, err := c.link.Write(both.bytes())
		return shortWrite(n, both.w, err)
	case c.direct:
		_, err := c.writeVec(nil, ctl.bytes(), p)
		return err
	}
	n, err := c.link.Write(ctl.bytes())
	if err = shortWrite(n, ctl.w, err); err != nil {
		return err
	}
	n, err = c.link.Write(p)
	return shortWrite(n, len(p), err)
}

// laneData hands p to the lane's handler. Who has the reading role calls it.
func (c *Conn) laneData(p []byte) error {
	if c.rd.lane == nil {
		if kept, err := c.keepLane(p); kept || err != nil {
			return err
		}
	}
	c.inLane.Store(true)
	err := c.rd.lane.LaneData(p)
	c.inLane.Store(false)
	return laneErr(err)
}

// laneErr makes an error of the lane's handler one that readFrames returns.
func laneErr(err error) error {
	if err == nil {
		return nil
	}
	if ce, ok := errors.AsType[*transport.ConnError](err); ok {
		return &laneError{ce}
	}
	return &laneError{&transport.ConnError{Code: kith.Internal, Reason: "invalid data on the lane", Err: err}}
}

// A laneError is how the session wants the connection to end.
type laneError struct{ end *transport.ConnError }

func (e *laneError) Error() string { return e.end.Error() }
