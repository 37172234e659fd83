package peertest

import (
	"container/heap"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A bus carries packets between stations, as multicast does on a LAN: over the links, late, lost or
// twice. One goroutine does all that happens at a time: what arrives, and what stations have
// set themselves to do.
type bus struct {
	wires     *wires
	seed      uint64
	duplicate float64

	wake chan struct{} // cap 1: there is something earlier to do
	quit chan struct{} // closed by close
	done chan struct{} // closed by runLoop

	mu       sync.Mutex
	stations []*station // guarded by mu; all that follows, too
	made     uint64
	agenda   agenda
	entered  uint64
	rngs     map[route]*rand.Rand
	counts   Stats
}

// A packet is a record, or a question for the records of a network, or of one ID.
type packet struct {
	raw     []byte
	network discovery.Tag
	id      kith.ID // zero for all
	fresh   bool    // a question of who has only begun
}

// questionBytes is what a question for our service takes as multicast DNS.
const questionBytes = 40

func newBus(cfg Config, w *wires) *bus {
	b := &bus{
		wires: w, seed: cfg.Seed, duplicate: cfg.Duplicate, rngs: make(map[route]*rand.Rand),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go b.runLoop()
	return b
}

// station makes a station of a node. Whoever gets it closes it; close of the bus does so as well.
func (b *bus) station(node string) *station {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	s := &station{
		bus: b, node: node, rng: rand.New(rand.NewPCG(b.seed, hashOf(node)+b.made)),
		views: make(map[discovery.Tag]*view),
	}
	b.stations = append(b.stations, s)
	return s
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// rngLocked returns what decides on packets of a route.
func (b *bus) rngLocked(r route) *rand.Rand {
	if b.rngs[r] == nil {
		b.rngs[r] = rand.New(rand.NewPCG(b.seed, hashOf(strconv.Quote(r.from)+strconv.Quote(r.to))))
	}
	return b.rngs[r]
}

// sendLocked sends a packet to all other stations, or to one.
func (b *bus) sendLocked(from *station, p packet, to *station) {
	if from.silent {
		return
	}
	if p.raw != nil {
		b.counts.Records++
		b.counts.Bytes += uint64(len(p.raw))
	} else {
		b.counts.Questions++
		b.counts.Bytes += questionBytes
	}
	if to != nil {
		b.carryLocked(from, p, to)
		return
	}
	for _, s := range b.stations {
		if s != from {
			b.carryLocked(from, p, s)
		}
	}
}

// carryLocked sends a packet over one link.
func (b *bus) carryLocked(from *station, p packet, to *station) {
	link, open := b.wires.between(from.node, to.node)
	if !open || to.silent {
		return
	}
	rng := b.rngLocked(route{from.node, to.node})
	copies, now := 1, time.Now()
	if b.duplicate > 0 && rng.Float64() < b.duplicate {
		copies = 2
	}
	for range copies {
		if link.Loss > 0 && rng.Float64() < link.Loss {
			continue
		}
		late := max(link.Latency, 0)
		if link.Jitter > 0 {
			late += time.Duration(rng.Int64N(int64(link.Jitter)))
		}
		b.laterLocked(late, func() {
			if _, open := b.wires.between(from.node, to.node); open {
				to.hear(from, p, now)
			}
		})
	}
}

// laterLocked puts something onto the agenda. It is done without mu held.
func (b *bus) laterLocked(d time.Duration, do func()) {
	b.entered++
	heap.Push(&b.agenda, &item{time.Now().Add(d), b.entered, do})
	if b.agenda[0].seq == b.entered {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// runLoop does what is on the agenda. It ends with close, which waits for it.
func (b *bus) runLoop() {
	defer close(b.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		do, wait := b.next()
		if do != nil {
			do()
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-b.wake:
		case <-b.quit:
			return
		}
	}
}

// next takes what is due off the agenda, or says how long nothing is.
func (b *bus) next() (do func(), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.agenda) == 0 {
		return nil, time.Hour
	}
	if wait = time.Until(b.agenda[0].at); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&b.agenda).(*item).do, 0
}

func (b *bus) stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

func (b *bus) remove(s *station) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stations = slices.DeleteFunc(b.stations, func(o *station) bool { return o == s })
}

func (b *bus) close() {
	close(b.quit)
	<-b.done
	b.mu.Lock()
	stations := slices.Clone(b.stations)
	b.mu.Unlock()
	for _, s := range stations {
		_ = s.Close()
	}
}

// An item is something to do at a time.
type item struct {
	at  time.Time
	seq uint64 // decides between items of one time
	do  func()
}

// An agenda is a heap of items by time.
type agenda []*item

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].seq < a[j].seq
	}
	return a[i].at.Before(a[j].at)
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(*item)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return x
}
