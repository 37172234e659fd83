package session

import (
	"runtime"
	"time"
)

const (
	// yieldLimit is the duration of a yield that is taken for a busy machine, where few
	// calls are in flight. Each of them may take yieldCall more, as it is for them that
	// this side yields; but in maxYield a goroutine that computes has been at it.
	yieldLimit = 200 * time.Microsecond
	yieldCall  = 4 * time.Microsecond
	maxYield   = 5 * time.Millisecond
	// readTurn is how many frames the reader takes at a time.
	readTurn = 64
)

// yield lets runnable callers append their frames before the buffer is taken,
// which sends them in one write: 64 callers make 0.2 system calls per call
// instead of 1.8. A lone caller has nobody to wait for. Where goroutines that
// compute hold the processors, a yield costs a whole time slice: then the next
// flushes do without.
func (s *Session) yield() {
	s.mu.Lock()
	skip := s.lane.noYield > 0
	if skip {
		s.lane.noYield--
		s.after.busy.Store(s.lane.noYield > 0)
	}
	many := s.out.open > 1 || s.lane.crowded()
	s.mu.Unlock()
	if !skip && (many || s.in.running.Load() > 1) {
		s.letRun()
	}
}

// endFrame is called after each frame when there are more to take. It has those run
// that the last ones were for, while these are in the processor's nearest memory, and
// their own frames leave while the next ones are taken. Else hundreds of callers get
// their answers, then make their calls, then wait for them, all at the same time, and
// each step finds what it needs pushed out by the others.
func (s *Session) endFrame() {
	r := &s.read
	if r.frames++; r.frames < readTurn {
		return
	}
	r.frames = 0
	if !s.after.busy.Load() {
		s.letRun()
	}
}

// letRun lets others run, and notes whether the machine is busy with something else.
func (s *Session) letRun() {
	start := time.Now()
	runtime.Gosched()
	took := time.Since(start)
	if took <= yieldLimit {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.out.open + int(s.in.running.Load())
	if took > min(yieldLimit+time.Duration(calls)*yieldCall, maxYield) {
		s.lane.noYield = 256
		s.after.busy.Store(true)
	}
}
