package client

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	now := time.Now()
	var b budget
	b.init(now)
	takes := func(calls uint64) (n int) {
		for ok := b.take(calls, now); ok; ok = b.take(0, now) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		after time.Duration
		calls uint64
		want  int
	}{
		{0, 0, 10},                             // what one second gives
		{0, 100, 20},                           // a fifth of the calls
		{time.Second, 0, 10},                   //
		{time.Second, 1000, 210},               //
		{time.Hour, 0, 100},                    // ten seconds' worth are kept
		{100 * time.Second, 100_000, 2100},     // ten seconds at 1,000 calls a second
		{time.Millisecond, 0, 0},               //
		{500 * time.Millisecond, 10_000, 2005}, // within a second all count
	} {
		now = now.Add(step.after)
		if n := takes(step.calls); n != step.want {
			t.Errorf("after %v and %d calls: %d retries, want %d", step.after, step.calls, n, step.want)
		}
	}
}
