package server

import (
	"context"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// errRate is what callers see that call too often.
var errRate = kith.NewError(kith.ResourceExhausted, "rate_limited", "too many calls from this peer")

// RateLimit lets each peer make perSecond calls a second, and burst at once
// after a pause. What is over that is refused before its handler runs with
// [kith.ResourceExhausted], and is [kith.Unprocessed]. A peer is an identity; one
// that proved none is the address it comes from, an IPv6 one its /64.
//
// All methods that one value of RateLimit wraps share its budget. It remembers
// up to 65,536 peers that called of late, and forgets those of longest ago first.
// It panics unless both numbers are positive.
func RateLimit(perSecond float64, burst int) kith.Middleware {
	if !(perSecond > 0) || burst <= 0 {
		panic("server: RateLimit: not positive")
	}
	l := newLimiter(perSecond, burst)
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			if !l.allow(limitKeyOf(c.Peer)) {
				return errRate.Refusal()
			}
			return next(ctx, c)
		}
	}
}

// limitKey is what calls are counted by.
type limitKey struct {
	id   kith.ID
	from string // where id is zero
}

func limitKeyOf(p *kith.Peer) limitKey {
	if p == nil {
		return limitKey{}
	}
	if !p.ID.IsZero() {
		return limitKey{id: p.ID}
	}
	a, err := transport.ParseAddr(p.Addr)
	if err != nil {
		return limitKey{}
	}
	return limitKey{from: source(a)}
}

// maxLimited bounds the peers that a limiter remembers.
const maxLimited = 65_536

// A limiter keeps for each peer the time until which its budget is spent. A peer
// whose time has passed is as good as one never seen. So two maps do, which
// take turns: what is only in the older one when they change is forgotten.
type limiter struct {
	interval time.Duration // that one call costs
	burst    time.Duration // how far ahead of now a peer may spend
	base     time.Time

	mu       sync.Mutex
	now, old map[limitKey]time.Duration // since base; guarded by mu
	turned   time.Duration              // when the maps changed; guarded by mu
}

func newLimiter(perSecond float64, burst int) *limiter {
	const most = float64(time.Hour * 24 * 365)
	interval := time.Duration(max(1, min(most, float64(time.Second)/perSecond)))
	return &limiter{
		interval: interval,
		burst:    time.Duration(min(most, float64(interval)*float64(burst))),
		base:     time.Now(),
		now:      make(map[limitKey]time.Duration),
	}
}

func (l *limiter) allow(k limitKey) bool {
	t := time.Since(l.base)
	l.mu.Lock()
	defer l.mu.Unlock()
	if t-l.turned >= l.burst || len(l.now) >= maxLimited/2 {
		l.now, l.old, l.turned = make(map[limitKey]time.Duration), l.now, t
	}
	spent, ok := l.now[k]
	if !ok {
		spent = l.old[k]
	}
	spent = max(spent, t) + l.interval
	if spent-t > l.burst {
		return false
	}
	l.now[k] = spent
	return true
}
