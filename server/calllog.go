package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kith-go/kith"
)

// Log writes a line for each call when it has ended: method, peer, code and
// duration; at level Info if it ended well or its caller gave it up, else at
// Warn; with the error if there is one. A nil logger means [slog.Default].
func Log(to *slog.Logger) kith.Middleware {
	if to == nil {
		to = slog.Default()
	}
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			return observe(ctx, c, next, func(err error, took time.Duration) {
				level, code := slog.LevelInfo, codeFor(ctx, err)
				if code != kith.OK && code != kith.Canceled {
					level = slog.LevelWarn
				}
				if !to.Enabled(ctx, level) {
					return
				}
				attrs := []slog.Attr{
					slog.String("method", c.Method.Name()), slog.String("peer", peerText(c.Peer)),
					slog.String("code", code.String()), slog.Duration("took", took),
				}
				if err != nil {
					attrs = append(attrs, slog.String("err", clean(err.Error())))
				}
				to.LogAttrs(ctx, level, "call", attrs...)
			})
		}
	}
}

// errNoReturn stands for the error of a handler that panicked or ended its
// goroutine.
var errNoReturn = errors.New("handler did not return")

// observe runs next and tells done how it ended, also if it panics.
func observe(ctx context.Context, c kith.Call, next kith.Handler, done func(err error, took time.Duration)) error {
	start := time.Now()
	err := errNoReturn
	defer func() { done(err, time.Since(start)) }()
	err = next(ctx, c)
	return err
}

// codeFor returns the code that the caller is going to see for err.
func codeFor(ctx context.Context, err error) kith.Code {
	var e *kith.Error
	var d *kith.DecodeError
	switch {
	case err == nil:
		return kith.OK
	case errors.As(err, &e) && !kith.Remote(e):
		return e.Code()
	case errors.As(err, &d):
		return d.Code()
	case ctx.Err() == nil:
		return kith.Internal
	case errors.Is(err, context.DeadlineExceeded):
		return kith.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return kith.Canceled
	}
	return kith.Internal
}

// peerText names a peer: by name and short ID where it has them, else by its
// address.
func peerText(p *kith.Peer) string {
	switch {
	case p == nil:
		return ""
	case p.ID.IsZero() && p.Name == "":
		return clean(p.Addr)
	case p.Name == "":
		return p.ID.Short()
	case p.ID.IsZero():
		return clean(p.Name)
	}
	return clean(p.Name) + "/" + p.ID.Short()
}
