package quic

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith/internal/ration"
)

// The figures are those of the multiplexer.
const (
	resetInterval = ration.ResetInterval
	resetBurst    = ration.ResetBurst
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
