package quic

import quicgo "github.com/quic-go/quic-go"

// WindowsGrown is the use of the window budget.
func WindowsGrown() int64 { return windowsGrown.Load() }

// SpendWindows uses up the window budget until what it returns is called.
func SpendWindows() (restore func()) {
	windowsGrown.Add(windowBudget)
	return func() { windowsGrown.Add(-windowBudget) }
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
