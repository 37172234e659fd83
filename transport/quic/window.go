package quic

import (
	"sync/atomic"

	quicgo "github.com/quic-go/quic-go"
)

// windowBudget bounds by how much the receive windows of all connections in
// this process may grow, together.
const windowBudget = 1 << 30

// windowsGrown is by how much they have grown.
var windowsGrown atomic.Int64

// A share is one connection's part of windowsGrown. It travels in the context
// that quic-go keeps for the connection.
type share struct{ grown atomic.Int64 }

type shareKey struct{}

// allowWindow is quic-go's question whether a connection's receive window may
// grow. It comes from the goroutine that runs the connection, so never after
// its end.
func allowWindow(qc *quicgo.Conn, delta uint64) bool {
	s, ok := qc.Context().Value(shareKey{}).(*share)
	if !ok || delta > windowBudget {
		return false
	}
	n := int64(delta)
	if windowsGrown.Add(n) > windowBudget {
		windowsGrown.Add(-n)
		return false
	}
	s.grown.Add(n)
	return true
}

// giveBack returns the share to the budget, when its connection has ended.
func (s *share) giveBack() { windowsGrown.Add(-s.grown.Swap(0)) }
