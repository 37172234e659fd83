package backoff_test

import (
	"testing"
	"time"

	"github.com/kith-go/kith/internal/backoff"
)

func TestPause(t *testing.T) {
	const base, limit = 200 * time.Millisecond, 30 * time.Second
	for n, want := range map[int]time.Duration{
		1: base, 2: 2 * base, 3: 4 * base, 8: 128 * base, 9: limit, 10: limit, 1_000_000: limit,
	} {
		var longest, total time.Duration
		const draws = 2000
		for range draws {
			d := backoff.Pause(base, limit, n)
			longest = max(longest, d)
			total += d
			if d <= 0 {
				t.Fatalf("Pause(%d) = %v", n, d)
			}
		}
		if mean := total / draws; longest > want || mean < want*45/100 || mean > want*55/100 {
			t.Errorf("Pause(%d): longest %v, mean %v, want up to %v, evenly", n, longest, mean, want)
		}
	}
	if d := backoff.Pause(base, base/2, 1); d > base/2 {
		t.Errorf("Pause with a limit below base = %v", d)
	}
}
