package netconn

import (
	"log/slog"
	"net"
	"strconv"

	"github.com/kith-go/kith/internal/ration"
)

// maxPerSecond is how many lines a second a gate lets through.
const maxPerSecond = 10

// maxText is how much text from outside one line holds.
const maxText = 256

// A gate keeps what others do from flooding the log.
type gate struct {
	log    *slog.Logger
	scheme string

	lines ration.Lines
}

func newGate(log *slog.Logger, scheme string) *gate {
	return &gate{log: log, scheme: scheme}
}

func (g *gate) warn(msg string, args ...any) {
	if dropped, ok := g.lines.Take(maxPerSecond); ok {
		g.log.Warn(msg, append(args, "scheme", g.scheme, "suppressed", dropped)...)
	}
}

// refused logs a failed handshake.
func (g *gate) refused(remote net.Addr, err error, evicted bool) {
	dropped, ok := g.lines.Take(maxPerSecond)
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
