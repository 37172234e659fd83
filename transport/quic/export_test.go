package quic

import (
	"context"

	"github.com/kith-go/kith/internal/budget"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"
)

// WindowsGrown is the use of the window budget.
func WindowsGrown() uint64 { return budget.Windows.Used() }

// SpendWindows uses up the window budget but for left bytes, until what it
// returns is called.
func SpendWindows(left uint64) (restore func()) {
	n := budget.Windows.Left() - left
	if !budget.Windows.Draw(n) {
		panic("somebody else draws from the budget")
	}
	return func() { budget.Windows.GiveBack(n) }
}

// Trace lets a tracer see the events of t's connections. It must be called
// before t is used.
func Trace(t *Transport, f func(context.Context, bool, quicgo.ConnectionID) qlogwriter.Trace) {
	t.quic.Tracer = f
}

// Handshaking is how many handshakes are in progress at a listener.
func Handshaking(l transport.Listener) int {
	g := &l.(*listener).gate
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total
}

var (
	Alternate = alternate
	SourceOf  = sourceOf
	Passing   = passing
	Adapt     = adapt

	PassingErrors = passingErrors
)

// QUICConfig is the configuration of quic-go that a zero Config leads to, but
// for the growth of windows, which needs a Transport.
func QUICConfig() *quicgo.Config {
	c := quicConfig(defaultMaxStreams)
	c.AllowConnectionWindowIncrease = nil
	return c
}
