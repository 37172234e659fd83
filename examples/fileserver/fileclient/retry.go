package fileclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
)

// The pauses between attempts. They double, and are drawn at random below
// that.
const (
	minPause = 100 * time.Millisecond
	maxPause = 2 * time.Second
)

// ErrGaveUp is matched by the error of a transfer that has made no progress for
// Config.Retry. The error matches what went wrong last, too.
var ErrGaveUp = errors.New("gave up")

// persist attempts something until it succeeds, fails for a reason that another
// attempt would not change, or has made no progress for too long. attempt
// reports whether it has made some.
func (c *Client) persist(ctx context.Context, attempt func() (progress bool, err error)) error {
	var since time.Time // of the first failure without progress
	pause := minPause
	for {
		progress, err := attempt()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !passing(err) {
			return err
		}
		now := time.Now()
		if progress || since.IsZero() {
			since, pause = now, minPause
		}
		if c.cfg.Retry >= 0 && now.Sub(since) >= c.cfg.Retry {
			return fmt.Errorf("%w after %v without progress: %w", ErrGaveUp, now.Sub(since).Round(time.Second), err)
		}
		if c.cfg.Retrying != nil {
			c.cfg.Retrying(err)
		}
		if err := sleep(ctx, 1+rand.N(pause)); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// passing reports whether the same call may go well a little later: it was the
// connection that failed, or a server that is stopping or has too much to do.
func passing(err error) bool {
	var dial *client.DialError
	if errors.As(err, &dial) {
		for _, a := range dial.Attempts {
			if !hopeless(a.Err) {
				return true
			}
		}
		return false
	}
	switch kith.CodeOf(err) {
	case kith.Unavailable:
		return true
	case kith.ResourceExhausted:
		return kith.Unprocessed(err) // the handler did not run
	}
	return false
}

// hopeless reports whether an address will not do later either: somebody else
// answers there, or refuses this client, or it cannot be told who answers.
func hopeless(err error) bool {
	var other *transport.PeerError
	switch {
	case errors.As(err, &other), errors.Is(err, transport.ErrNoIdentity):
		return true
	case kith.Remote(err):
		code := kith.CodeOf(err)
		return code != kith.Unavailable && code != kith.ResourceExhausted
	}
	return false
}
