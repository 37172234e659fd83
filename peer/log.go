package peer

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/kith-go/kith/internal/ration"
)

var discard = slog.New(slog.DiscardHandler)

// A lock is a node's mutex. A Logger is the user's code: it may block, and it may call the
// node. So what is to be logged while the mutex is held waits until it is free.
type lock struct {
	sync.Mutex
	waiting []func() // guarded by the mutex
}

// afterwards has f run when the mutex, which the caller holds, is free.
func (l *lock) afterwards(f func()) { l.waiting = append(l.waiting, f) }

// Unlock runs what waits, in its order.
func (l *lock) Unlock() {
	waiting := l.waiting
	l.waiting = nil
	l.Mutex.Unlock()
	for _, f := range waiting {
		f()
	}
}

// logLocked logs when mu, which is held, is free.
func (n *Node) logLocked(level slog.Level, text string, attrs ...slog.Attr) {
	n.mu.afterwards(func() { n.cfg.Logger.LogAttrs(context.Background(), level, text, attrs...) })
}

// limitedWarn logs warnings that strangers can cause, ten a second at most.
type limitedWarn struct {
	log   *slog.Logger
	lines ration.Lines
}

func (l *limitedWarn) say(text string, attrs ...any) {
	leftOut, ok := l.lines.Take(10)
	if !ok {
		return
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	l.log.Warn(strings.ToValidUTF8(text, ""), attrs...)
}
