package session

import (
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/wire"
)

// quick finds out whether the other side calls one method again and again, one call
// at a time, and whether its handler is so quick that the reader is to run it itself
// (see [mux.Role]): to have a worker run it would take longer than the handler. It
// belongs to the reader, but for took.
type quick struct {
	method *kith.Method
	slot   uint64        // of its last call: the next has it too, if that was over by then
	last   time.Time     // when its last call came
	row    int           // calls in a row; negative after a handler that was not quick
	fine   int           // how far below zero row was set for that
	good   int           // calls that the reader ran since
	mean   time.Duration // how long they took, the last ones above all
	kept   bool          // the data being read had a call for the reader to run

	// took is how long the last of them held the reader up, from when it came;
	// heldUp if another goroutine had to take over. Set by who ran it, taken by the
	// next call.
	took atomic.Int64
}

const (
	// quickCalls is how many calls in a row come before the reader runs one.
	quickCalls = 16
	// quickTime is how long they may take, on average: whatever else comes waits for
	// that. To wake a worker takes 5 to 20 us.
	quickTime = 50 * time.Microsecond
	heldUp    = time.Second
	// minFine and maxFine bound for how many calls the reader runs none after one that
	// held it up: more each time, for a handler that does so again and again.
	minFine = 1000
	maxFine = 1 << 20
)

// called notes a call, one of so many that run, and reports whether it is for the
// reader to run. Calls of two callers at once would be run one after the other, and
// might as well come one by one then: but they have different slots.
func (q *quick) called(c *inCall, now time.Time, running int64) bool {
	if took := time.Duration(q.took.Swap(0)); took > 0 {
		q.ran(took)
	}
	slot := c.id & (wire.MaxLaneCalls - 1)
	if running == 1 && c.method == q.method && slot == q.slot && now.Sub(q.last) < loneGap {
		q.row++
	} else {
		q.row = min(q.row, 0)
	}
	q.method, q.slot, q.last = c.method, slot, now
	return q.row >= quickCalls
}

// ran notes how long a call took that the reader ran. A single one that took long
// may have been the machine's doing, several are not.
func (q *quick) ran(took time.Duration) {
	q.good++
	q.mean += (min(took, 4*quickTime) - q.mean) / 8
	if took < heldUp && q.mean <= quickTime {
		return
	}
	if q.good > 16*q.fine {
		q.fine = 0 // it was long ago
	}
	q.fine = min(max(2*q.fine, minFine), maxFine)
	q.row, q.good, q.mean = -q.fine, 0, 0
}

// startCall has c's handler run, one of so many, and reports false if the limit is
// reached.
func (s *Session) startCall(c *inCall, running int64) bool {
	w, q := s.cfg.Workers, &s.read.quick
	if !q.called(c, s.read.now, running) || s.lead == nil || c.method.Kind() != kith.KindUnary {
		return w.start(c)
	}
	if !w.admit(c) {
		return false
	}
	if q.kept = s.lead.Lend(laneCall{c}); !q.kept {
		w.enqueue(c)
	}
	return true
}

// A laneCall is a call that was admitted and that the reader may run.
type laneCall struct{ c *inCall }

// Start implements [mux.LaneCall].
func (l laneCall) Start() { l.c.s.cfg.Workers.enqueue(l.c) }

// Run implements [mux.LaneCall].
func (l laneCall) Run() {
	c := l.c
	s := c.s
	w, began := s.cfg.Workers, c.began
	w.run(c)
	w.release()
	s.read.quick.took.Store(int64(time.Since(s.base) - began))
}

// Late implements [mux.LaneCall].
func (l laneCall) Late() { l.c.s.read.quick.took.Store(int64(heldUp)) }

var _ mux.LaneCall = laneCall{}
