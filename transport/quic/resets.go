package quic

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// resetInterval is how often the other side may reset a stream, in the long run: 16,000
	// times a second. Each takes this one about ten microseconds.
	resetInterval = time.Second / 16_000
	// resetBurst is how many it may reset at once.
	resetBurst = 128
	// maxResetRest is the longest that no stream is accepted for it.
	maxResetRest = 100 * time.Millisecond
)

// resets makes a connection rest whose other side resets streams as fast as it opens
// them: while none is accepted the places of the ended ones stay taken, and it can open no
// more. What it sends otherwise comes through.
type resets struct {
	n     atomic.Int32 // seen since began
	began time.Time    // of the goroutine that accepts
}

// rest waits until there were not too many, or for the end of ctx or of gone.
func (r *resets) rest(ctx context.Context, gone <-chan struct{}) {
	n := r.n.Load()
	if n < resetBurst {
		return
	}
	r.n.Add(-n)
	if rest := time.Duration(n)*resetInterval - time.Since(r.began); rest > 0 {
		t := time.NewTimer(min(rest, maxResetRest))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-gone:
		}
	}
	r.began = time.Now()
}
