package session

import "github.com/kith-go/kith/internal/mux"

// PoisonMessages has requests overwritten as soon as they are given back.
func PoisonMessages() { poisonMessages = true }

// Role returns who has the reading role of the session's connection, which is one
// of our own mux.
func (s *Session) Role() mux.Role {
	mc, _ := findMux(s.conn)
	return mc.(*mux.Conn).Role()
}

// BusyProcessors has the session take the processors for busy.
func (s *Session) BusyProcessors() { s.after.busy.Store(true) }
