package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets of a histogram: each power of two is cut into 64, so that a value is known to
// 1.6 %. The last power is about 18 minutes.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	buckets    = subBuckets * (40 - subBits + 1)
)

// A histogram counts durations without allocating. Any number of goroutines may add.
type histogram struct {
	counts [buckets]atomic.Uint32
}

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	e := bits.Len64(n) - 1 - subBits
	if e <= 0 {
		return int(n)
	}
	return min(e<<subBits+int(n>>e), buckets-1)
}

// bucketStart is the smallest duration in bucket i.
func bucketStart(i int) time.Duration {
	if i < 2*subBuckets {
		return time.Duration(i)
	}
	e := i>>subBits - 1
	return time.Duration(i-e<<subBits) << e
}

func (h *histogram) add(d time.Duration) { h.counts[bucketOf(d)].Add(1) }

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

// A recorder spreads samples over several histograms, so that callers on different
// cores do not wait for each other's cache line.
type recorder struct{ parts [16]histogram }

// samples is reused by all measurements, which come one after the other: what it weighs
// is there before the first.
var samples recorder

func (r *recorder) of(caller int) *histogram { return &r.parts[caller%len(r.parts)] }

func (r *recorder) reset() {
	for i := range r.parts {
		r.parts[i].reset()
	}
}

func (r *recorder) count() (n uint64) {
	for i := range buckets {
		n += r.at(i)
	}
	return n
}

func (r *recorder) at(bucket int) (n uint64) {
	for i := range r.parts {
		n += uint64(r.parts[i].counts[bucket].Load())
	}
	return n
}

// quantile returns the duration that a share q of the samples does not exceed, in
// microseconds; within a bucket samples are taken to lie evenly.
func (r *recorder) quantile(q float64) float64 {
	rank := q * float64(r.count())
	var below float64
	for i := range buckets {
		n := float64(r.at(i))
		if n > 0 && below+n >= rank {
			from, to := bucketStart(i), bucketStart(i+1)
			return (float64(from) + float64(to-from)*(rank-below)/n) / 1e3
		}
		below += n
	}
	return 0
}
