package mdns

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A logLimit passes on ten lines a second, and drops the rest: a neighbour must not fill the log.
type logLimit struct {
	slog.Handler
	shared *logBucket
}

type logBucket struct {
	mu      sync.Mutex
	limit   bucket // guarded by mu
	dropped int    // guarded by mu; since the last line
}

func limitLog(l *slog.Logger) *slog.Logger {
	return slog.New(logLimit{l.Handler(), &logBucket{limit: bucket{burst: 5, interval: 200 * time.Millisecond}}})
}

// Handle implements [slog.Handler].
func (h logLimit) Handle(ctx context.Context, r slog.Record) error {
	ok, dropped := h.shared.take(time.Now())
	if !ok {
		return nil
	}
	if dropped > 0 {
		r.AddAttrs(slog.Int("lines_dropped", dropped))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h logLimit) WithAttrs(a []slog.Attr) slog.Handler {
	return logLimit{h.Handler.WithAttrs(a), h.shared}
}

// WithGroup implements [slog.Handler].
func (h logLimit) WithGroup(name string) slog.Handler {
	return logLimit{h.Handler.WithGroup(name), h.shared}
}

func (b *logBucket) take(now time.Time) (ok bool, dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.limit.take(now) {
		b.dropped++
		return false, 0
	}
	dropped, b.dropped = b.dropped, 0
	return true, dropped
}
