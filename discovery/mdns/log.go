package mdns

import (
	"context"
	"log/slog"

	"github.com/kith-go/kith/internal/ration"
)

// linesPerSecond is how many a neighbour can cause.
const linesPerSecond = 5

// A logLimit passes on linesPerSecond, and drops the rest: a neighbour must not fill the log.
type logLimit struct {
	slog.Handler
	shared *ration.Lines
}

func limitLog(l *slog.Logger) *slog.Logger {
	return slog.New(logLimit{l.Handler(), new(ration.Lines)})
}

// Handle implements [slog.Handler].
func (h logLimit) Handle(ctx context.Context, r slog.Record) error {
	dropped, ok := h.shared.Take(linesPerSecond)
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
