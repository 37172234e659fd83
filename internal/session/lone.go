package session

import (
	"time"

	"github.com/kith-go/kith/internal/mux"
)

// A laneLeader is a laneLink that others than its reader may read, for a moment. The
// comment at [mux.Role] says why and how.
type laneLeader interface {
	// Offer lets callers Lead: the reader stops reading after the data at hand.
	Offer()
	// Lead reads once for LaneData, if nobody reads, for mux.MaxLead at the longest.
	// If it returns true it is for the caller to Leave.
	Lead() bool
	// Leave lets the next caller Lead, or, if free is false, has the reader read on.
	Leave(free bool)
	// ReadOn is for whoever waits for something and does not Lead.
	ReadOn()
	// Lend has the reader run a call that came, if it returns true.
	Lend(c mux.LaneCall) bool
}

const (
	// loneGap is how soon after an answer the next one comes to a caller that
	// does little else but call.
	loneGap = time.Millisecond
	// loneCalls is how many such answers come in a row before callers read.
	loneCalls = 8
	// servedCalls is how many have to come after the other side made a call:
	// its calls are not to wait until somebody reads.
	servedCalls = 1024
)

// lone finds out whether one call of this side follows the other, with nothing
// else going on, so that callers may read their answers themselves. It belongs to
// the goroutine that reads the lane.
type lone struct {
	row  int       // answers in a row
	last time.Time // when the last came
	only bool      // it was that of the only call, and nobody waits for anything
}

// answered notes an answer.
func (l *lone) answered(now time.Time, only bool) {
	if only && now.Sub(l.last) < loneGap {
		l.row++
	} else {
		l.row = min(l.row, 0)
	}
	l.last, l.only = now, only
}

// served notes a call of the other side's.
func (l *lone) served() {
	l.row, l.only = loneCalls-servedCalls, false
}

// finishRead is finishCall for an outcome on the lane. It runs on the reader. If the
// next call may read its answer itself, this is said before that can be made.
func (s *Session) finishRead(id uint64) (*outCall, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.finishCallLocked(id)
	if s.lead == nil || c == nil {
		return c, err
	}
	l := &s.read.lone
	l.answered(s.read.now, s.quietLocked())
	if l.row >= loneCalls {
		s.lead.Offer()
	}
	return c, nil
}

// quietLocked reports whether no call is open, and nobody else waits for anything
// that is to come.
func (s *Session) quietLocked() bool {
	o := &s.out
	return o.open == 0 && o.streams == 0 && o.live && !o.draining && s.ping.pong == nil && s.in.running.Load() == 0
}

// leadFor reads for c, which has been sent, if that is for callers to do, and if
// the time left, zero for any, allows it: while it reads, the end of the caller's
// ctx goes unnoticed. If it returns with c's outcome not there, somebody else reads.
func (s *Session) leadFor(c *outCall, left time.Duration) {
	switch {
	case s.lead == nil || len(c.done) > 0: // the latter where the caller was held up meanwhile
	case left > 0 && left <= mux.MaxLead:
		s.lead.ReadOn()
	case s.lead.Lead():
		s.lead.Leave(len(c.done) > 0 && s.read.lone.only)
	}
}

// readOn is called before something is waited for by a goroutine that may be the
// one that reads.
func (s *Session) readOn() {
	if s.lead != nil {
		s.lead.ReadOn()
	}
}
