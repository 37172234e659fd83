package client

import (
	"sync"
	"time"
)

const (
	// retryShare and retryRate are what a client may add to the load of a server
	// in trouble: retries for so many of its calls, and so many a second.
	retryShare = 0.2
	retryRate  = 10
	// retrySave is how many seconds' worth of unused retries are kept.
	retrySave = 10
)

// A budget limits retries.
type budget struct {
	mu     sync.Mutex
	tokens float64   // guarded by mu
	at     time.Time // up to when tokens were counted; guarded by mu
	since  time.Time // calls are counted since then; guarded by mu
	calls  uint64    // guarded by mu
}

func (b *budget) init(now time.Time) {
	b.tokens, b.at, b.since = retryRate, now, now
}

// take takes one retry, and reports false if none is left. calls is how many
// calls were made that take was not told of.
func (b *budget) take(calls uint64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += retryShare*float64(calls) + retryRate*now.Sub(b.at).Seconds()
	b.at = now
	b.calls += calls
	if d := now.Sub(b.since).Seconds(); d >= 1 {
		b.tokens = min(b.tokens, retrySave*(retryRate+retryShare*float64(b.calls)/d))
		b.since, b.calls = now, 0
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
