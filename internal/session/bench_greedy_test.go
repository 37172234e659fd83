package session_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkGreedy measures what 63 callers notice of one more on their connection
// that is like them, or takes all it can get: 1,000 calls of 4 KiB at once, always.
func BenchmarkGreedy(b *testing.B) {
	for _, bm := range []struct {
		name        string
		calls, size int // of the 64th
	}{{"like-the-rest", 1, 32}, {"greedy", 1000, 4 << 10}} {
		b.Run(bm.name, func(b *testing.B) {
			s := tcpSession(b)
			ctx, stop := context.WithCancel(b.Context())
			var greedy sync.WaitGroup
			for range bm.calls {
				greedy.Go(func() {
					p := make([]byte, bm.size)
					for ctx.Err() == nil {
						_, _ = echo.Call(ctx, s, p) // the last one is cancelled
					}
				})
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var mu sync.Mutex
			var all []time.Duration
			var polite sync.WaitGroup
			b.ResetTimer()
			for range 63 {
				polite.Go(func() {
					p := make([]byte, 32)
					var took []time.Duration
					for left.Add(-1) >= 0 {
						start := time.Now()
						if _, err := echo.Call(ctx, s, p); err != nil {
							b.Error(err)
							return
						}
						took = append(took, time.Since(start))
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, took...)
				})
			}
			polite.Wait()
			b.StopTimer()
			stop()
			greedy.Wait()
			if slices.Sort(all); len(all) > 0 {
				b.ReportMetric(float64(all[len(all)/2].Nanoseconds()), "p50-ns")
				b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds()), "p99-ns")
			}
		})
	}
}
