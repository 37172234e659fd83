package session

import (
	"time"

	"github.com/kith-go/kith/transport"
)

// A session whose handlers at work become very many, since they wait, rests now and then
// until they are, while another session has few calls. Each costs a goroutine when it begins,
// and again when it ends; and who hangs up on thousands, to begin anew, ends them all at
// once. A session that has as many at work as it had before does not rest, and one whose
// handlers return at once never has many. Streams that come while it rests wait, as its
// calls of the lane do.
const (
	// growthStep is how many more handlers may be at work after each rest of growthRest.
	growthStep = 32
	growthRest = time.Millisecond
	// hungStep is how many handlers, of very many, whose connection ended of late make such
	// a rest longer by growthRest. Half of them are forgotten each hungTime.
	hungStep = 256
	hungTime = time.Second
)

// beginLocked counts that c's handler begins.
func (w *Workers) beginLocked(c *inCall) {
	c.begun = true
	w.growLocked(c.s)
}

// growLocked counts that a handler of s begins, and has s rest if it is time to.
func (w *Workers) growLocked(s *Session) {
	q := &s.turn
	if q.begun++; q.begun <= restAbove+q.room || q.resting {
		return
	}
	q.room += growthStep
	if now := time.Now(); w.load.shared(s, now) {
		w.restLocked(s, growthRest*time.Duration(1+w.load.hungUp(now)/hungStep))
	}
}

// returnedLocked counts that it has returned.
func (w *Workers) returnedLocked(c *inCall) {
	w.releaseLocked(1)
	if c.begun {
		w.shrinkLocked(c.s, c.abandoned)
	}
}

// shrinkLocked counts that a handler of s has returned. One that was abandoned leaves no
// room: others could begin in the places of such without a rest, to be abandoned too.
func (w *Workers) shrinkLocked(s *Session, abandoned bool) {
	q := &s.turn
	q.begun--
	if abandoned {
		q.room = max(q.room-1, 0)
	}
	if q.begun >= restAbove && s.in.ended.Load() {
		w.load.noteHungUp(time.Now())
	}
}

// startStream begins the handler of a stream of s, or has it wait while s rests, or others
// that came before do.
func (w *Workers) startStream(s *Session, st transport.Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := &s.turn
	if q.resting || len(q.streams) > 0 {
		q.streams = append(q.streams, st)
		return
	}
	w.growLocked(s)
	go s.streamHandler(st) // ends as it says there
}

// startStreamsLocked begins the handlers of streams that waited, until s is to rest again.
// Where calls of the lane wait too, half of a step is for those: streams that come faster
// than they begin would keep them waiting for good. It runs again then, growthRest later
// or after the next rest.
func (w *Workers) startStreamsLocked(s *Session) {
	q := &s.turn
	most := len(q.streams)
	if q.first != nil && !s.in.ended.Load() {
		most = min(most, growthStep/2)
	}
	for ; most > 0 && !q.resting; most-- {
		st := q.streams[0]
		q.streams[0] = nil
		q.streams = q.streams[1:]
		w.growLocked(s)
		go s.streamHandler(st) // ends as it says there
	}
	switch {
	case len(q.streams) == 0:
		q.streams = nil
	case !q.resting:
		q.timer.Reset(growthRest)
	}
}

// streamReturned counts that the handler of a stream of s has returned.
func (w *Workers) streamReturned(s *Session, abandoned bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shrinkLocked(s, abandoned)
}

// noteHungUp counts a handler, of very many, that returned after its connection had ended.
func (l *load) noteHungUp(now time.Time) { l.hung = l.hungUp(now) + 1 }

// hungUp returns how many there were of late.
func (l *load) hungUp(now time.Time) int {
	if since := now.Sub(l.halved); since >= hungTime {
		l.hung >>= min(since/hungTime, 31)
		l.halved = now.Add(-(since % hungTime))
	}
	return l.hung
}
