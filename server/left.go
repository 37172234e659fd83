package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kith-go/kith/internal/session"
)

const (
	maxNames   = 16 // methods that an error of Shutdown names
	maxCallers = 4  // peers that it names for each
)

// running is what is left of the calls of one method.
type running struct {
	calls   int
	oldest  time.Duration
	callers map[string]struct{}
}

// left says what Shutdown did not wait for any more.
func (s *Server) left() string {
	s.mu.Lock()
	sessions := slices.Clone(s.lingering.sessions)
	for c := range s.conns {
		if c.sess != nil {
			sessions = append(sessions, c.sess)
		}
	}
	conns := len(s.conns)
	s.mu.Unlock()
	methods := runningOf(sessions)
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if len(texts) == maxNames {
			texts = append(texts, "...")
			break
		}
		texts = append(texts, name+" "+methods[name].text())
	}
	switch {
	case len(texts) > 0:
		return "; still running: " + strings.Join(texts, ", ")
	case conns > 0:
		return fmt.Sprintf("; connections that the other side does not let go: %d", conns)
	}
	return ""
}

func runningOf(sessions []*session.Session) map[string]*running {
	methods := make(map[string]*running)
	for _, sess := range sessions {
		caller := peerText(sess.Peer())
		for _, call := range sess.Serving() {
			r := methods[call.Method]
			if r == nil {
				r = &running{callers: make(map[string]struct{})}
				methods[call.Method] = r
			}
			r.calls++
			r.oldest = max(r.oldest, call.Age)
			r.callers[caller] = struct{}{}
		}
	}
	return methods
}

// text says how many calls there are, how long ago the first of them came, and
// who made them.
func (r *running) text() string {
	callers := slices.Sorted(maps.Keys(r.callers))
	more := ""
	if n := len(callers) - maxCallers; n > 0 {
		callers, more = callers[:maxCallers], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("(%d for up to %v, called by %s%s)",
		r.calls, r.oldest.Round(time.Millisecond), strings.Join(callers, ", "), more)
}
