package quic

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Who resets more streams than anybody needs to waits for new ones, as long as so many
// may take.
func TestResetsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		for _, tc := range []struct {
			name    string
			resets  int32
			elapsed time.Duration // since the last rest
			want    time.Duration
		}{
			{"few", resetBurst - 1, 0, 0},
			{"too many", resetBurst, 0, resetBurst * resetInterval},
			{"many, in part long ago", 2 * resetBurst, resetBurst * resetInterval, resetBurst * resetInterval},
			{"many, long ago", resetBurst, time.Second, 0},
			{"as many as there can be", 1 << 20, 0, maxResetRest},
		} {
			r := resets{began: time.Now().Add(-tc.elapsed)}
			r.n.Store(tc.resets)
			begin := time.Now()
			r.rest(t.Context(), gone)
			if got := time.Since(begin); got != tc.want {
				t.Errorf("%s: rest() takes %v, want %v", tc.name, got, tc.want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended := make(chan struct{})
		close(ended)
		for what, r := range map[string]func(*resets){
			"ctx":        func(r *resets) { r.rest(ctx, gone) },
			"connection": func(r *resets) { r.rest(t.Context(), ended) },
		} {
			s := resets{began: time.Now()}
			s.n.Store(1 << 20)
			begin := time.Now()
			if r(&s); time.Since(begin) != 0 {
				t.Errorf("rest() goes on after the end of its %s", what)
			}
		}
	})
}
