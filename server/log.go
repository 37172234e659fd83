package server

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

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

	mu     sync.Mutex
	left   float64   // lines that may be written now, at most logRate; guarded by mu
	last   time.Time // when left was right; guarded by mu
	passed int       // lines left out since the last one written; guarded by mu
}

func newLimitedLog(to *slog.Logger) *limitedLog {
	return &limitedLog{to: to, left: logRate, last: time.Now()}
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
	ok, passed := l.take(time.Now())
	if !ok {
		return
	}
	if passed > 0 {
		attrs = append(attrs, slog.Int("left_out", passed))
	}
	l.to.LogAttrs(ctx, level, what, attrs...)
}

func (l *limitedLog) take(now time.Time) (ok bool, passed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = min(logRate, l.left+now.Sub(l.last).Seconds()*logRate)
	l.last = now
	if l.left < 1 {
		l.passed++
		return false, 0
	}
	l.left--
	passed, l.passed = l.passed, 0
	return true, passed
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
