package mux_test

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// BenchmarkAttackOpenReset has round trips on one connection, alone and beside
// another one whose peer opens and resets streams as fast as it can, over TCP.
// That peer works in the same process, and takes the processors for itself, too:
// the ratio is more than what the defence costs.
func BenchmarkAttackOpenReset(b *testing.B) {
	besides(b, 1, func(b *testing.B) (stop func()) {
		x, y := tcpPair(b)
		c, r := acceptedConn(b, y), raw{b, x}
		h := &streamCounter{handle: readAll}
		c.StartLane(h)
		if _, err := x.Write([]byte(mux.Preface)); err != nil {
			b.Fatal(err)
		}
		limits := make(chan uint64, 1024)
		var wg sync.WaitGroup
		wg.Go(func() { r.grants(limits) })
		wg.Go(func() {
			opened := uint64(0)
			for granted, ok := uint64(16), true; ok; granted, ok = <-limits {
				var batch []byte
				for ; opened < granted; opened++ {
					batch = appendRaw(batch, 0x11, 2*opened+1, []byte("x"))
					batch = appendRaw(batch, 0x20, 2*opened+1, []byte{0, 0, 0, 1})
				}
				if _, err := x.Write(batch); err != nil {
					return
				}
			}
		})
		return func() {
			c.CloseWithError(kith.OK, "")
			x.Close()
			for range limits {
			}
			wg.Wait()
			h.wg.Wait()
		}
	})
}

// BenchmarkAttackSlowReader has round trips of a hundred streams, alone and
// beside one on the same connection that nobody reads.
func BenchmarkAttackSlowReader(b *testing.B) { besides(b, 100, nil) }

// besides measures round trips of so many streams of a connection over TCP in
// turns: alone, and beside what attack starts, or beside an unread stream of the
// same connection if it is nil. It reports the 99th percentiles, and the ratio
// of the second to the first.
func besides(b *testing.B, streams int, attack func(*testing.B) (stop func())) {
	const turn = 500 // round trips of each stream
	var alone, beside []time.Duration
	for b.Loop() {
		alone = append(alone, roundTrips(b, streams, turn, func(p, q *mux.Conn) func() { return func() {} })...)
		beside = append(beside, roundTrips(b, streams, turn, func(p, q *mux.Conn) func() {
			if attack != nil {
				return attack(b)
			}
			near, _ := openPair(b, p, q)
			var wg sync.WaitGroup
			wg.Go(func() { near.Write(make([]byte, 64<<20)) })
			return func() { near.Reset(kith.Canceled); wg.Wait() }
		})...)
	}
	p99 := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)*99/100]) / 1e3
	}
	x, y := p99(alone), p99(beside)
	b.ReportMetric(x, "alone-p99-us")
	b.ReportMetric(y, "beside-p99-us")
	b.ReportMetric(y/x, "ratio")
}

func roundTrips(b *testing.B, streams, rounds int, begin func(p, q *mux.Conn) (stop func())) (took []time.Duration) {
	x, y := tcpPair(b)
	p, q := mux.New(x, mux.Config{Dialed: true}), mux.New(y, mux.Config{})
	defer p.CloseWithError(kith.OK, "")
	defer q.CloseWithError(kith.OK, "")
	var pairs [][2]transport.Stream
	for range streams {
		near, far := openPair(b, p, q)
		pairs = append(pairs, [2]transport.Stream{near, far})
	}
	stop := begin(p, q)
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, pair := range pairs {
		near, far := pair[0], pair[1]
		wg.Go(func() {
			io.Copy(far, far)
			far.Close()
		})
		wg.Go(func() {
			defer near.Close()
			buf := make([]byte, 100)
			own := make([]time.Duration, 0, rounds)
			for range rounds {
				start := time.Now()
				near.Write(buf)
				if _, err := io.ReadFull(near, buf); err != nil {
					b.Error(err)
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	wg.Wait()
	return took
}
