// Package backoff says how long to wait before trying again: clients and nodes
// that failed together must not come back together.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Pause returns the pause after n failures in a row, n > 0: a random duration of
// up to base, doubled with each failure, and up to limit. Drawing it evenly from
// all of that (full jitter) spreads those that failed together best.
func Pause(base, limit time.Duration, n int) time.Duration {
	d := base
	for range n - 1 {
		if d >= limit/2 {
			d = limit
			break
		}
		d *= 2
	}
	return Jitter(min(d, limit))
}

// Jitter returns a random duration in (0, d], 0 if d is not positive.
func Jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return 1 + rand.N(d)
}
