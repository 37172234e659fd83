package quic

import (
	"sync/atomic"

	"github.com/kith-go/kith/internal/budget"
	quicgo "github.com/quic-go/quic-go"
)

// A share is what one connection has drawn from [budget.Windows]. It travels
// in the context that quic-go keeps for the connection.
type share struct{ grown atomic.Uint64 }

type shareKey struct{}

// allowWindow is quic-go's question whether a connection's receive window may
// grow. It comes from the goroutine that runs the connection, so never after
// its end.
func allowWindow(qc *quicgo.Conn, delta uint64) bool {
	s, ok := qc.Context().Value(shareKey{}).(*share)
	if !ok || !budget.Windows.Draw(delta) {
		return false
	}
	s.grown.Add(delta)
	return true
}

// giveBack returns the share to the budget, when its connection has ended.
func (s *share) giveBack() { budget.Windows.GiveBack(s.grown.Swap(0)) }
