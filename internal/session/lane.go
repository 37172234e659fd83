package session

import (
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// laneRoom is how much may wait in the lane's buffer before callers and
// handlers wait for room. Frames that are bounded otherwise (control, and
// one refusal per call) do not wait.
const laneRoom = 512 << 10

// laneBuffer is what waits to be sent on the lane. It is guarded by
// Session.mu. The buffer exists only while something waits.
type laneBuffer struct {
	buf      *[]byte // begins with mux.Headroom bytes of scratch
	flushing bool    // somebody sends: flushLoop, or whoever appended
	refused  *[]byte // what TryLane did not take, for flushLoop; set before it starts
	pong     []byte  // the last ping to answer, nil for none; it aliases pongMem
	pongMem  [8]byte
	waiting  fifo // those who wait for room
	// frames is how many calls and outcomes are in buf, crowd when one was last sent
	// that had several.
	frames int
	crowd  time.Time
	// noYield is how many flushes are still to be made without yielding, after
	// a yield took long.
	noYield int
	// refusals is how many calls are refused in buf.
	refusals int
}

// bytes returns the buffer, with room for n more bytes.
func (l *laneBuffer) bytes(n int) *[]byte {
	if l.buf == nil {
		l.buf = newLaneBuffer(n)
	} else {
		l.buf = growLaneBuffer(l.buf, n)
	}
	return l.buf
}

func (l *laneBuffer) size() int {
	if l.buf == nil {
		return 0
	}
	return len(*l.buf) - mux.Headroom
}

// crowdTime is for how long after calls or outcomes were sent together one that is alone
// is not taken for a lone caller's. The first of many callers to call again, when all of
// them have just got their answers, is alone for a moment: its frame would go by itself,
// and its outcome too.
const crowdTime = 200 * time.Microsecond

// crowded reports whether a frame had company a moment ago.
func (l *laneBuffer) crowded() bool {
	return !l.crowd.IsZero() && time.Since(l.crowd) < crowdTime
}

// noteSend notes that buf is sent.
func (l *laneBuffer) noteSend() {
	if l.frames > 1 {
		l.crowd = time.Now()
	}
	l.frames = 0
}

// hasRoom reports whether a frame of n bytes need not wait.
func (l *laneBuffer) hasRoom(n int) bool { return l.buf == nil || l.size()+n <= laneRoom }

func (l *laneBuffer) drop() {
	l.buf = nil
	l.pong = nil
}

// flushLocked makes sure that what was appended is sent. It is called with mu
// held. Before the lane is open nothing can be sent; open flushes then.
func (s *Session) flushLocked() {
	if s.lane.flushing || s.link == nil || s.out.dead != nil {
		return
	}
	s.lane.flushing = true
	s.loops.Add(1)
	go s.kick()
}

// sendLocked makes sure that the frame of a call or an answer is sent, and
// gives up mu. Where no other call is under way, nor was a moment ago, nothing is
// gained by waiting for others' frames, and the frame is written here if that needs no waiting. A
// goroutine that is patient may be made to wait, if it comes to the worst.
func (s *Session) sendLocked(patient bool) {
	if !s.lane.flushing || s.out.dead != nil { // who sends takes them along, if it ever returns
		s.appendOutcomesLocked()
	}
	if s.try == nil || s.lane.flushing || s.out.dead != nil || s.out.open > 1 || s.in.running.Load() > 0 || s.lane.crowded() {
		s.flushLocked()
		s.mu.Unlock()
		return
	}
	s.lane.flushing = true
	buf := s.takeLaneLocked()
	s.mu.Unlock()
	if buf == nil {
		return // another goroutine sent it, and may be sending more by now
	}
	taken := s.try.TryLane(*buf, patient)
	s.after.flushed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lane.flushing = false
	s.appendOutcomesLocked() // those that came meanwhile were left to this goroutine
	switch {
	case !taken && s.out.dead == nil:
		s.lane.refused = buf
		s.flushLocked()
		return
	case s.lane.size() > 0 || s.lane.pong != nil:
		s.flushLocked()
	}
	putLaneBuffer(buf)
}

// flushLoop sends what waits in the lane's buffer until nothing does, or the
// connection ends. Close waits for it. It is a goroutine of its own, started by
// whoever appends, so that a caller whose ctx ends is never stuck in a write;
// started last, it runs as soon as that caller waits for its answer.
func (s *Session) flushLoop() {
	defer s.loops.Done()
	for {
		s.yield()
		s.mu.Lock()
		buf := s.lane.refused
		if s.lane.refused = nil; buf == nil {
			buf = s.takeLaneLocked()
		}
		s.mu.Unlock()
		if buf == nil {
			return
		}
		err := s.link.WriteLane(*buf)
		putLaneBuffer(buf)
		s.after.flushed()
		if err != nil {
			s.mu.Lock()
			s.lane.flushing = false
			s.mu.Unlock()
			if !s.connEnded(err) {
				go s.killHandler(kith.Unavailable, "lane write failed")
			}
			return
		}
	}
}

// takeLaneLocked takes the lane's buffer to send it. Nil means that nothing
// waits, and that whoever appends next starts a new flushLoop.
func (s *Session) takeLaneLocked() *[]byte {
	if s.lane.pong != nil && s.out.dead == nil {
		b := s.lane.bytes(wire.LaneHeader + len(s.lane.pong))
		start := len(*b)
		*b = wire.EndLane(append(wire.AppendLane(*b, wire.FramePong), s.lane.pong...), start)
		s.lane.pong = nil
	}
	s.appendOutcomesLocked()
	if s.lane.size() == 0 {
		s.lane.flushing = false
		return nil
	}
	s.lane.noteSend()
	buf := s.lane.buf
	s.lane.buf = nil
	s.lane.refusals = 0
	s.lane.waiting.wake(laneRoom)
	return buf
}

// smallFrame is the room made for a frame that does not wait for any: most need
// less.
const smallFrame = 64

// appendLocked appends a whole frame made by f, without waiting for room.
func (s *Session) appendLocked(f func(dst []byte) []byte) {
	if s.out.dead != nil {
		return
	}
	b := s.lane.bytes(smallFrame)
	*b = f(*b)
	s.flushLocked()
}

// appendEmptyLocked appends a frame that is only its type.
func (s *Session) appendEmptyLocked(t wire.FrameType) {
	s.appendLocked(func(dst []byte) []byte { return wire.AppendLane(dst, t) })
}

// appendNumberLocked appends a frame whose body is a number.
func (s *Session) appendNumberLocked(t wire.FrameType, v uint64) {
	s.appendLocked(func(dst []byte) []byte { return wire.AppendNumber(dst, t, v) })
}

// streamLink is the lane on a stream of any transport.
type streamLink struct{ st transport.Stream }

func (l streamLink) WriteLane(p []byte) error {
	_, err := l.st.Write(p[mux.Headroom:])
	return err
}

// A fifo is a queue of goroutines that wait for room, each for some amount.
// It is guarded by Session.mu.
type fifo struct{ q []*waiter }

type waiter struct {
	n     int
	woken bool
	ch    chan struct{} // cap 1
}

func (f *fifo) add(n int) *waiter {
	w := &waiter{n: n, ch: make(chan struct{}, 1)}
	f.q = append(f.q, w)
	return w
}

// wake wakes waiters from the front, as many as share room.
func (f *fifo) wake(room int) {
	for len(f.q) > 0 && room > 0 {
		w := f.q[0]
		f.q[0] = nil
		f.q = f.q[1:]
		room -= w.n
		w.woken = true
		w.ch <- struct{}{}
	}
	if len(f.q) == 0 {
		f.q = nil
	}
}

// remove takes w out, and passes on a wake-up that it got too late to use.
func (f *fifo) remove(w *waiter) {
	if w.woken {
		f.wake(w.n)
		return
	}
	for i, x := range f.q {
		if x == w {
			f.q = append(f.q[:i], f.q[i+1:]...)
			return
		}
	}
}
