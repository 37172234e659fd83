package mux

import (
	"io"
	"net"
	"sync"
	"time"
)

// maxQueued is how many chunks of copied frames wait for a link that callers
// cannot write to themselves.
const maxQueued = 4

// A writer is what a Conn knows about writing to its link. Everything is
// guarded by the connection's mutex. Whoever set busy has the writer role:
// nobody else writes, or encodes frames, until it is given up. Frames are
// encoded in the order in which they go out.
type writer struct {
	busy    bool
	greeted bool // the preface was encoded

	current     *Stream // whose slice the link is writing, on a direct link
	interrupted bool    // the link's write deadline was moved to the past

	queue chunkQueue // encoded frames, for flushLoop to write
	mid   bool       // queue begins in the middle of a frame

	dirty      *Stream // list of streams with pending frames
	dirtyTail  *Stream
	windowDue  bool // the connection's WINDOW is to be sent
	err        error
	flushing   bool // flushLoop runs
	laneWaits  bool
	flushReady sync.Cond
	laneReady  sync.Cond
	closeReady sync.Cond
	grace      *time.Timer
	turns      writerQueue // streams whose Write waits for the role, or for room in queue

	gather *gather // of the holder of the role; nil until slices are gathered
	head   [headerLen]byte
}

// A gather is the slices that are written to the link in one go.
type gather struct {
	iov [3][]byte
	vec net.Buffers
}

func (w *writer) init(mu *sync.Mutex) {
	w.flushReady.L = mu
	w.laneReady.L = mu
	w.closeReady.L = mu
}

// mark notes that s has a frame of the kind to send.
func (s *Stream) mark(p pending) {
	w := &s.c.out
	if !s.dirty {
		s.dirty = true
		if w.dirtyTail == nil {
			w.dirty = s
		} else {
			w.dirtyTail.nextDirty = s
		}
		w.dirtyTail = s
	}
	s.pending |= p
	s.c.kick()
}

// pendingFrames reports whether there is anything to write that no caller
// writes. mu held.
func (c *Conn) pendingFrames() bool {
	w := &c.out
	return w.queue.head != nil || w.dirty != nil || w.windowDue || c.streamsDue()
}

// kick starts flushLoop if there are frames to write and nobody is about to
// take them along. mu held.
func (c *Conn) kick() {
	w := &c.out
	if w.flushing {
		w.flushReady.Signal()
		return
	}
	// A lane that waits takes them along, but has to wait itself for the rest of
	// a frame.
	if w.busy || w.laneWaits && !w.mid || c.err != nil || w.err != nil || !c.pendingFrames() {
		return
	}
	if c.direct && w.queue.head == nil && w.turns.head != nil {
		return // it is awake, and takes them along
	}
	w.flushing = true
	c.loops.Add(1)
	// Ends when nothing is pending, or with the connection; readLoop and
	// CloseWithError wait for it.
	go c.flushLoop()
}

// flushLoop writes what no caller is there to write.
func (c *Conn) flushLoop() {
	defer c.loops.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.out
	for c.err == nil && w.err == nil && c.pendingFrames() {
		if w.busy || w.laneWaits && !w.mid {
			w.flushReady.Wait()
			continue
		}
		if ctl := c.takeControl(); ctl != nil {
			w.queue.push(ctl)
		}
		ch := w.queue.pop()
		if ch == nil {
			continue // what was pending is no longer worth a frame
		}
		w.busy = true
		w.mid = false
		c.mu.Unlock()
		n, err := c.link.Write(ch.bytes())
		err = shortWrite(n, len(ch.bytes()), err)
		ch.free()
		c.mu.Lock()
		c.release(err)
	}
	w.flushing = false
}

// release gives the writer role up, after a write that returned err, and wakes
// who may take it. mu held.
func (c *Conn) release(err error) {
	if err != nil {
		c.writeFailed(err)
		return // the role is never given again
	}
	c.out.busy = false
	c.passOn()
}

// passOn wakes whoever may write next: the lane first, then streams in the
// order in which they came, each of which takes pending frames along, then
// flushLoop. mu held.
func (c *Conn) passOn() {
	w := &c.out
	switch {
	case c.err != nil:
		w.laneReady.Broadcast()
		w.flushReady.Broadcast()
		w.closeReady.Broadcast()
	case w.laneWaits && !w.mid:
		w.laneReady.Signal()
	default:
		w.turns.wake()
		c.kick()
	}
}

// takeControl encodes all pending control frames, and the preface before the
// first of all, to a chunk; nil if there are none. The caller has the writer
// role, or is about to queue the chunk; nothing that was encoded before may be
// written after it. mu held.
//
// STREAMS comes last and only here, when no other frame is left: so the other
// side cannot get a slot back as long as we still owe it frames for streams
// that used it, which bounds those frames.
func (c *Conn) takeControl() *chunk {
	w := &c.out
	if w.greeted && w.dirty == nil && !w.windowDue && !c.streamsNews() {
		return nil
	}
	var buf []byte
	ch := newChunk(minControl)
	buf = ch.b[:0]
	if !w.greeted {
		w.greeted = true
		buf = append(buf, Preface...)
	}
	for s := w.dirty; s != nil; s = w.dirty {
		if w.dirty = s.nextDirty; w.dirty == nil {
			w.dirtyTail = nil
		}
		s.nextDirty, s.dirty = nil, false
		buf = s.appendPending(buf)
	}
	if w.windowDue {
		w.windowDue = false
		buf = appendLimit(buf, kindWindow, 0, c.recv.grant())
	}
	if c.streamsNews() {
		c.peerLimit = c.newPeerLimit()
		buf = appendLimit(buf, kindStreams, 0, c.peerLimit)
	}
	if len(buf) > len(ch.b) {
		ch.free()
		ch = &chunk{b: buf}
	}
	ch.w = len(buf)
	if len(buf) == 0 {
		ch.free()
		return nil
	}
	return ch
}

// minControl is the size of chunk in which control frames are encoded first.
const minControl = 512

func (c *Conn) newPeerLimit() uint64 { return c.peerDone + c.cfg.maxStreams() }

// streamsNews reports whether a frame that goes out anyway should take STREAMS
// along. mu held.
func (c *Conn) streamsNews() bool {
	return c.streamsDue() || c.peerLimit == initialStreams && c.newPeerLimit() > initialStreams
}

// streamsDue reports whether the other side should be told of free slots now:
// because it has none left, or because many became free. mu held.
func (c *Conn) streamsDue() bool {
	more := c.newPeerLimit() - c.peerLimit
	return more > 0 && (c.peerLimit-c.peerOpened <= initialStreams/2 || more >= c.cfg.maxStreams()/4 && c.peerDone > 0)
}

// appendPending encodes the stream's pending frames. mu held.
func (s *Stream) appendPending(buf []byte) []byte {
	p := s.pending
	s.pending = 0
	if p&pendingEnd != 0 {
		flags := uint8(flagEnd) | s.openFlag()
		buf = appendHeader(buf, header{kind: kindData, flags: flags, id: s.id})
	}
	if p&pendingReset != 0 {
		flags := s.openFlag()
		buf = appendCode(buf, kindReset, flags, s.id, uint32(s.sendCode))
	}
	if p&pendingStop != 0 {
		buf = appendCode(buf, kindStop, 0, s.id, uint32(s.stopCode))
	}
	if p&pendingWindow != 0 && s.recvEnd == notEnded && !s.closed {
		buf = appendLimit(buf, kindWindow, s.id, s.win.grant())
	}
	s.settle()
	return buf
}

// openFlag gives the stream its id if this is its first frame, and returns the
// flag that says so. The caller has the writer role, so ids rise on the wire.
func (s *Stream) openFlag() uint8 {
	if s.id != 0 {
		return 0
	}
	c := s.c
	s.id = c.ownID(c.onWire)
	c.onWire++
	delete(c.unopened, s)
	c.enter(s)
	return flagOpen
}

// enter makes s, which has got its id, one of those the other side knows of.
func (c *Conn) enter(s *Stream) {
	if c.streams == nil {
		c.streams = make(map[uint64]*Stream)
	}
	c.streams[s.id] = s
}

// ownID returns the id of the n-th stream that this side opens, from 0.
func (c *Conn) ownID(n uint64) uint64 {
	if c.cfg.Dialed {
		return 2*n + 1
	}
	return 2*n + 2
}

// writeVec writes up to three slices to the link in one go where it can. The
// caller has the writer role, and not mu.
func (c *Conn) writeVec(a, b, p []byte) (int, error) {
	if c.out.gather == nil {
		c.out.gather = new(gather)
	}
	g := c.out.gather
	g.iov = [3][]byte{a, b, p}
	g.vec = g.iov[:]
	if len(a) == 0 {
		g.vec = g.vec[1:]
	}
	n, err := g.vec.WriteTo(c.link)
	g.iov = [3][]byte{}
	return int(n), shortWrite(int(n), len(a)+len(b)+len(p), err)
}

// shortWrite makes an error of a write that wrote n of want bytes.
func shortWrite(n, want int, err error) error {
	if err == nil && n < want {
		return io.ErrShortWrite
	}
	return err
}

// interrupt makes a write of the stream's own slice return. mu held; setting
// a deadline does not block.
func (c *Conn) interrupt(s *Stream) {
	if w := &c.out; w.current == s && !w.interrupted {
		w.interrupted = true
		c.limitWrites(time.Unix(1, 0))
	}
}
