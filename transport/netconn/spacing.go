package netconn

import (
	"net/netip"
	"time"
)

const (
	// defaultHandshakeRate is how many handshakes of one source begin a second:
	// what takes about a fifth of one processor.
	defaultHandshakeRate = 200
	// handshakeBurst is how many begin at once, after a pause.
	handshakeBurst = 64
)

// A spacing says when a source may begin another handshake. It keeps for each
// the time until which its budget is spent. A source whose time has passed is
// as good as one never seen: so two maps do, which take turns, and what is only
// in the older one when they change is forgotten.
type spacing struct {
	interval time.Duration // that one handshake costs; 0 for no limit
	now, old map[netip.Prefix]time.Time
	turned   time.Time // when the maps changed
}

func newSpacing(rate int) spacing {
	if rate < 0 {
		return spacing{}
	}
	return spacing{interval: time.Second / time.Duration(rate), now: make(map[netip.Prefix]time.Time)}
}

// begin takes a handshake out of the budget of a source, or returns how long that
// has to wait.
func (s *spacing) begin(source netip.Prefix) (wait time.Duration) {
	if s.interval == 0 || !source.IsValid() {
		return 0
	}
	t, burst := time.Now(), handshakeBurst*s.interval
	if t.Sub(s.turned) >= burst {
		s.now, s.old, s.turned = make(map[netip.Prefix]time.Time), s.now, t
	}
	spent, ok := s.now[source]
	if !ok {
		spent = s.old[source]
	}
	if spent.Before(t) {
		spent = t
	}
	spent = spent.Add(s.interval)
	if over := spent.Sub(t) - burst; over > 0 {
		return over
	}
	s.now[source] = spent
	return 0
}
