package discovery

import (
	"hash/maphash"
	"math"
	"time"

	"github.com/kith-go/kith"
)

// noLimit is a limit that is never reached.
const noLimit = math.MaxInt

// limitOf reads a limit from a config: zero for the default, negative for none.
func limitOf(n, byDefault int) int {
	switch {
	case n < 0:
		return noLimit
	case n == 0:
		return byDefault
	}
	return n
}

// A bucket holds what may be spent at once, and fills up with time.
type bucket struct {
	spent float64   // below full; so the zero bucket is full
	last  time.Time // when spent was right
}

// has fills up the bucket to now, and says whether there is one to spend.
func (b *bucket) has(now time.Time, perSecond float64) bool {
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.spent = max(0, b.spent-passed*perSecond)
	}
	b.last = now // a clock that was set back neither fills the bucket nor stops it
	return b.spent+1 <= max(1, burst*perSecond)
}

const (
	burst      = 2   // seconds' worth that may be spent at once
	shares     = 4   // how many sources it takes to spend everything
	sourceBins = 256 // buckets for sources
)

// A limiter bounds how often something happens, in all and for each source. Sources
// share 256 buckets by a hash that they cannot know, so that it is of a fixed size whatever sources there are.
type limiter struct {
	perSecond float64 // infinite for no limit
	all       bucket
	seed      maphash.Seed
	bins      *[sourceBins]bucket // nil if sources are not told apart
}

func newLimiter(perSecond int, bySource bool) limiter {
	if perSecond == noLimit {
		return limiter{perSecond: math.Inf(1)}
	}
	l := limiter{perSecond: float64(perSecond), seed: maphash.MakeSeed()}
	if bySource {
		l.bins = new([sourceBins]bucket)
	}
	return l
}

// has says whether take would succeed.
func (l *limiter) has(source string, now time.Time) bool {
	if source == "" || math.IsInf(l.perSecond, 1) {
		return true
	}
	if !l.all.has(now, l.perSecond) {
		return false
	}
	return l.bins == nil || l.bin(source).has(now, l.perSecond/shares)
}

// take accounts for one, unless the source or all together have had too many. The empty source always may.
func (l *limiter) take(source string, now time.Time) bool {
	switch {
	case !l.has(source, now):
		return false
	case source == "" || math.IsInf(l.perSecond, 1):
		return true
	case l.bins != nil:
		l.bin(source).spent++
	}
	l.all.spent++
	return true
}

func (l *limiter) bin(source string) *bucket {
	return &l.bins[maphash.String(l.seed, source)%sourceBins]
}

// maxFloors is about how many of those that left are remembered.
const maxFloors = 4096

// floors remembers, of those that left last, the sequence up to which their records are out of date: without
// it, whoever recorded a node's words could bring it back after its goodbye. There are two
// maps, which take turns: what is only in the older one when they change is forgotten. Only who was
// held by the table gets in, so strangers cannot make it forget faster than the table takes them.
type floors struct {
	recent, older map[kith.ID]uint64
}

func (f *floors) of(id kith.ID) (floor uint64, ok bool) {
	if floor, ok = f.recent[id]; !ok {
		floor, ok = f.older[id]
	}
	return floor, ok
}

func (f *floors) raise(id kith.ID, floor uint64) {
	if f.recent == nil || len(f.recent) >= maxFloors/2 {
		f.recent, f.older = make(map[kith.ID]uint64), f.recent
	}
	f.recent[id] = floor
}

func (f *floors) forget(id kith.ID) {
	delete(f.recent, id)
	delete(f.older, id)
}
