package session

import (
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// A quickCaller makes calls for a quick to judge.
type quickCaller struct {
	q   quick
	now time.Time
	seq uint64
}

// call is a call in a slot, so long after the one before.
func (c *quickCaller) call(m *kith.Method, slot uint64, gap time.Duration, running int64) bool {
	c.now = c.now.Add(gap)
	c.seq++
	return c.q.called(&inCall{method: m, id: c.seq<<wire.SlotBits | slot}, c.now, running)
}

// calls is n calls of a lone caller that took so long each; it returns how many the
// reader is to run.
func (c *quickCaller) calls(m *kith.Method, n int, took time.Duration) (run int) {
	for range n {
		if c.call(m, 0, 10*time.Microsecond, 1) {
			run++
			c.q.took.Store(int64(took))
		}
	}
	return run
}

func TestQuickIsForLoneCallers(t *testing.T) {
	one, other := &kith.Unary[int, int]("test/One").Method, &kith.Unary[int, int]("test/Other").Method
	for name, break1 := range map[string]func(c *quickCaller) bool{
		"another method": func(c *quickCaller) bool { return c.call(other, 0, 0, 1) },
		"another slot":   func(c *quickCaller) bool { return c.call(one, 1, 0, 1) },
		"two at once":    func(c *quickCaller) bool { return c.call(one, 0, 0, 2) },
		"a pause":        func(c *quickCaller) bool { return c.call(one, 0, loneGap, 1) },
	} {
		c := &quickCaller{now: time.Now()}
		if run := c.calls(one, 100, time.Microsecond); run != 100-quickCalls {
			t.Errorf("the reader runs %d of 100 calls, want %d", run, 100-quickCalls)
		}
		if break1(c) {
			t.Errorf("the reader runs a call after %s", name)
		}
		if run := c.calls(one, quickCalls-1, time.Microsecond); run != 0 {
			t.Errorf("the reader runs %d of the next calls after %s, want none", run, name)
		}
	}
}

// One call that took long is nothing, many are, and one that held the reader up is;
// the more often it happens, the longer no call is run, until it was long ago.
func TestQuickIsForQuickHandlers(t *testing.T) {
	m := &kith.Unary[int, int]("test/One").Method
	c := &quickCaller{now: time.Now()}
	c.calls(m, 100, time.Microsecond)
	if run := c.calls(m, 1, time.Millisecond) + c.calls(m, 100, time.Microsecond); run != 101 {
		t.Errorf("the reader runs %d of 101 calls, one of which took long, want all", run)
	}
	if run := c.calls(m, 100, 2*quickTime); run > 20 {
		t.Errorf("the reader runs %d of 100 calls that take long, want few", run)
	}
	for i, fine := range []int{2 * minFine, 4 * minFine, 8 * minFine} {
		for c.calls(m, 1, heldUp) == 0 { // until it runs one, which holds it up
		}
		n := 0
		for ; c.calls(m, 1, time.Microsecond) == 0; n++ {
		}
		if n < fine || n > fine+quickCalls {
			t.Errorf("the reader runs a call after %d others, held up %d times, want %d", n, i+2, fine)
		}
	}
	c.calls(m, 16*16*minFine, time.Microsecond)
	c.calls(m, 1, heldUp)
	if run := c.calls(m, minFine+quickCalls+2, time.Microsecond); run == 0 {
		t.Errorf("the reader runs none of %d calls, held up once in a long time", minFine+quickCalls+2)
	}
}
