package netconn

import (
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"
)

// maxPerSecond is how many lines a second a gate lets through.
const maxPerSecond = 10

// maxText is how much text from outside one line holds.
const maxText = 256

// A gate keeps what others do from flooding the log.
type gate struct {
	log    *slog.Logger
	scheme string

	mu      sync.Mutex
	second  time.Time // when counting began
	lines   int       // since then
	dropped int       // since the last line
}

func newGate(log *slog.Logger, scheme string) *gate {
	return &gate{log: log, scheme: scheme}
}

// pass reports whether another line may be written, and how many were not
// since the last one.
func (g *gate) pass() (dropped int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.second) >= time.Second {
		g.second, g.lines = now, 0
	}
	if g.lines >= maxPerSecond {
		g.dropped++
		return 0, false
	}
	g.lines++
	dropped, g.dropped = g.dropped, 0
	return dropped, true
}

func (g *gate) warn(msg string, args ...any) {
	if dropped, ok := g.pass(); ok {
		g.log.Warn(msg, append(args, "scheme", g.scheme, "suppressed", dropped)...)
	}
}

// refused logs a failed handshake.
func (g *gate) refused(remote net.Addr, err error, evicted bool) {
	dropped, ok := g.pass()
	if !ok {
		return
	}
	reason := "handshake failed"
	if evicted {
		reason = "handshake dropped for newer ones"
	}
	g.log.Info(reason, "scheme", g.scheme, "remote", addrText(remote), "err", quoteCut(err.Error()), "suppressed", dropped)
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return quoteCut(a.String())
}

// quoteCut quotes text that may come from outside, cut to a readable length.
func quoteCut(s string) string {
	if len(s) > maxText {
		return strconv.Quote(s[:maxText]) + "..."
	}
	return strconv.Quote(s)
}
