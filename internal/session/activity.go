package session

// Admitted reports whether hello is over and went well, so that Peer may be
// called. It stays so when the session has ended.
func (s *Session) Admitted() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// Activity returns how many calls are open in both directions, and how many
// this side has made in all. Notifications count as calls, open until their
// handler has returned.
func (s *Session) Activity() (open int, made uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openLocked(), s.out.made + s.out.streamNo
}

func (s *Session) openLocked() int {
	return s.out.open + s.out.streams + int(s.in.running.Load())
}

// RetireIdle ends the making of calls on this side if none is open in either
// direction, and reports whether it did. Those that come later fail as
// Unprocessed, as if the other side drained. The caller goes on to Drain or
// Close, neither of which can cut off a call of this side's then.
func (s *Session) RetireIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.dead != nil || s.openLocked() > 0 {
		return false
	}
	s.out.draining = true
	s.wakeAllLocked()
	return true
}
