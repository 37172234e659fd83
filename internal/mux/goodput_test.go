package mux_test

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

const (
	megabyte   = 1_000_000
	linkOf100M = 12_500_000 // 100 Mbit/s, in bytes a second
)

// TestGoodput measures what share of a link of 100 Mbit/s streams reach, by how
// far the other end is, how many streams there are, and how much the network
// buffers before the link. The windows begin at 256 KiB a stream and have to grow
// to carry that: 200 ms are 2.5 MB on their way.
func TestGoodput(t *testing.T) {
	for _, rtt := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		for _, streams := range []int{1, 8} {
			for _, buffer := range []int{64 << 10, 1 << 20} {
				if raceEnabled && (streams > 1 || buffer > 64<<10 || rtt != 100*time.Millisecond) {
					continue // each takes long, and races no differently
				}
				t.Run(fmt.Sprintf("%v/%d/%dKiB", rtt, streams, buffer>>10), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						whole, steady := goodput(t, rtt, streams, buffer)
						t.Logf("%.1f %% of the link, %.1f %% after the start", 100*whole, 100*steady)
						if steady < 0.9 {
							t.Errorf("%.1f %% of the link in steady state, want 90 %%", 100*steady)
						}
					})
				})
			}
		}
	}
}

// goodput sends 64 MiB over streams that share a link. It returns the share of
// the link's rate that was reached over all of it, and over the second half.
func goodput(t *testing.T, rtt time.Duration, streams, buffer int) (whole, steady float64) {
	const total = 64 << 20
	x, y := newSimLink(linkOf100M, rtt, buffer)
	a, b := mux.New(x, mux.Config{Dialed: true}), mux.New(y, mux.Config{})
	defer b.CloseWithError(kith.OK, "")
	defer a.CloseWithError(kith.OK, "")
	start := time.Now()
	arrived := make(chan int, 1024)
	var wg sync.WaitGroup
	for range streams {
		s, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer s.Close()
			if err := transport.WriteLast(s, make([]byte, total/streams)); err != nil {
				t.Errorf("WriteLast() = %v", err)
			}
			io.Copy(io.Discard, s) // until the other end is done, too
		})
		r, err := b.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer r.Close()
			var err error
			for buf := make([]byte, 64<<10); err == nil; {
				var n int
				if n, err = r.Read(buf); n > 0 {
					arrived <- n
				}
			}
			if err != io.EOF {
				t.Errorf("Read() = %v, want %v", err, io.EOF)
			}
			r.CloseWrite()
		})
	}
	var half time.Duration
	got, first := 0, 0
	for got < total {
		got += <-arrived
		if half == 0 && got >= total/2 {
			half, first = time.Since(start), got
		}
	}
	end := time.Since(start)
	wg.Wait()
	share := func(n int, d time.Duration) float64 { return float64(n) / linkOf100M / d.Seconds() }
	return share(got, end), share(got-first, end-half)
}
