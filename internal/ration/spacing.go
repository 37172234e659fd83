package ration

import (
	"net/netip"
	"time"
)

// maxSources is how many sources one of a Spacing's maps holds.
const maxSources = 1 << 14

// A Spacing says when a source may begin another of what costs those who serve it
// more than the source. It keeps for each the time until which its budget is spent. A
// source whose time has passed is as good as one never seen: so two maps do, which
// take turns, and what is only in the older one when they change is forgotten. It
// must not be used by several goroutines at once.
type Spacing struct {
	interval time.Duration // that one costs; 0 for no limit
	burst    time.Duration // that a source may be ahead
	now, old map[netip.Prefix]time.Time
	turned   time.Time // when the maps changed
}

// NewSpacing returns a Spacing by which each source begins up to burst at once, after
// a pause, and then rate a second. A negative rate is no limit.
func NewSpacing(rate, burst int) Spacing {
	if rate < 0 {
		return Spacing{}
	}
	interval := time.Second / time.Duration(rate)
	return Spacing{interval: interval, burst: time.Duration(burst) * interval, now: make(map[netip.Prefix]time.Time)}
}

// Begin takes one, at the time t, out of the budget of a source, or returns how long
// that has to wait. A source that is not valid has no limit.
func (s *Spacing) Begin(source netip.Prefix, t time.Time) (wait time.Duration) {
	if s.interval == 0 || !source.IsValid() {
		return 0
	}
	spent, known := s.now[source]
	if t.Sub(s.turned) >= s.burst || !known && len(s.now) >= maxSources {
		s.now, s.old, s.turned = make(map[netip.Prefix]time.Time), s.now, t
		known = false
	}
	if !known {
		spent = s.old[source]
	}
	if spent.Before(t) {
		spent = t
	}
	spent = spent.Add(s.interval)
	if over := spent.Sub(t) - s.burst; over > 0 {
		return over
	}
	s.now[source] = spent
	return 0
}
