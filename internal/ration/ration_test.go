package ration_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/internal/ration"
)

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ration.Lines
		take := func(what string, wantLeftOut int, want bool) {
			t.Helper()
			if leftOut, ok := l.Take(3); leftOut != wantLeftOut || ok != want {
				t.Errorf("Take(3) of %s = %d, %t, want %d, %t", what, leftOut, ok, wantLeftOut, want)
			}
		}
		for range 3 {
			take("those that may", 0, true)
		}
		take("one too many", 0, false)
		time.Sleep(time.Second - 1)
		take("one in the same second", 0, false)
		time.Sleep(time.Nanosecond)
		take("one in the next", 2, true)
		take("one behind it", 0, true)
	})
}

func TestLinesConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ration.Lines
		var passed atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					if _, ok := l.Take(10); ok {
						passed.Add(1)
					}
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		if leftOut, ok := l.Take(10); passed.Load() != 10 || leftOut != 790 || !ok {
			t.Errorf("%d of 800 passed, then Take(10) = %d, %t, want 10, and 790, true", passed.Load(), leftOut, ok)
		}
	})
}
