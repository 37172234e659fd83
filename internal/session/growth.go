package session

import "time"

// A session whose handlers at work become very many, since they wait, rests now and then
// until they are, while another session has few calls. Each costs a goroutine when it begins,
// and again when it ends; and who hangs up on thousands, to begin anew, ends them all at
// once. A session that has as many at work as it had before does not rest, and one whose
// handlers return at once never has many.
const (
	// growthStep is how many more handlers may be at work after each rest of growthRest.
	growthStep = 32
	growthRest = time.Millisecond
)

// beginLocked counts that c's handler begins, and has its session rest if it is time to.
func (w *Workers) beginLocked(c *inCall) {
	s := c.s
	q := &s.turn
	c.begun = true
	if q.begun++; q.begun <= restAbove+q.room || q.resting {
		return
	}
	q.room += growthStep
	if w.load.shared(s, time.Now()) {
		w.restLocked(s, growthRest)
	}
}

// returnedLocked counts that it has returned. One that was abandoned leaves no
// room: others could begin in the places of such without a rest, to be abandoned too.
func (w *Workers) returnedLocked(c *inCall) {
	w.releaseLocked(1)
	if !c.begun {
		return
	}
	q := &c.s.turn
	if q.begun--; c.abandoned {
		q.room = max(q.room-1, 0)
	}
}
