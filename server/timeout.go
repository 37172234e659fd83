package server

import (
	"context"
	"errors"
	"time"

	"github.com/kith-go/kith"
)

// errTimeout is what callers see whose call a [Timeout] ended.
var errTimeout = kith.NewError(kith.DeadlineExceeded, "server_timeout", "the server's time for this call is over")

// bounder is an Inbound that can end what a streaming handler is blocked in.
type bounder interface {
	Bound(t time.Time) (stop func())
}

// Timeout ends the handler's ctx d after the call began, if the caller's
// deadline does not end it before. A streaming handler receives nothing more
// then, and what it is blocked in sending fails a second later. It cannot stop
// a handler that looks at none of these. The caller sees
// [kith.DeadlineExceeded]. It panics if d is not positive.
func Timeout(d time.Duration) kith.Middleware {
	if d <= 0 {
		panic("server: Timeout: not a positive duration")
	}
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			bounded, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			stop := func() {}
			if b, ok := ctx.Value(kith.CallKey{}).(bounder); ok {
				end, _ := bounded.Deadline()
				stop = b.Bound(end)
			}
			err := next(bounded, c)
			if bounded.Err() != context.DeadlineExceeded {
				stop()
				return err
			}
			if errors.Is(err, context.DeadlineExceeded) && !kith.Remote(err) {
				return errTimeout
			}
			return err
		}
	}
}
