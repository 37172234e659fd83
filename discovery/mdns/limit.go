package mdns

import "time"

// A bucket limits how often something is done: so many at once, and one more each interval. Its zero value is
// not ready; it needs both.
type bucket struct {
	burst    int
	interval time.Duration
	full     time.Time // when it will have burst again
}

// take says whether it may be done now, and accounts for it if so.
func (b *bucket) take(now time.Time) bool {
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.Sub(now) > time.Duration(b.burst-1)*b.interval {
		return false
	}
	b.full = b.full.Add(b.interval)
	return true
}
