package server

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"unicode"

	"github.com/kith-go/kith/internal/ration"
	"github.com/kith-go/kith/transport"
)

const (
	logRate    = 10  // lines a second that others can make the server write
	maxLogText = 256 // bytes of text from outside in one attribute
)

// limitedLog writes what others can cause at will: at most logRate lines a
// second, and how many were left out.
type limitedLog struct {
	to *slog.Logger

	lines ration.Lines
}

// conn writes a line about a connection.
func (l *limitedLog) conn(level slog.Level, what string, info transport.Info, err error) {
	l.write(level, what, slog.String("addr", clean(info.Remote.WithID(info.Peer).String())),
		slog.String("transport", info.Transport), slog.String("err", clean(err.Error())))
}

func (l *limitedLog) write(level slog.Level, what string, attrs ...slog.Attr) {
	ctx := context.Background()
	if !l.to.Enabled(ctx, level) {
		return
	}
	leftOut, ok := l.lines.Take(logRate)
	if !ok {
		return
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	l.to.LogAttrs(ctx, level, what, attrs...)
}

// clean makes text from outside fit for a line of a log.
func clean(s string) string {
	cut := ""
	if len(s) > maxLogText {
		s, cut = strings.ToValidUTF8(s[:maxLogText], ""), "..."
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		s = strconv.Quote(s)
	}
	return s + cut
}
