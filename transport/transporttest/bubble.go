package transporttest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/internal/leak"
)

// bubbleTimeout is how long a case may take in real time inside a bubble,
// where all waiting is over at once.
const bubbleTimeout = 2 * time.Minute

// A bubble is a case being run in virtual time. It has a goroutine of its own,
// as the watchdog inside stands still with the bubble's clock.
type bubble struct {
	t     *testing.T
	c     testCase
	setup func(t *testing.T) Setup
	done  chan struct{} // closed by bubbleHandler, after what follows is set
	rule  rule          // set before done closes: what must hold in the end
	skip  bool          // set before done closes: the case does not apply
	crash any           // set before done closes: what synctest panicked with
}

func runInBubble(t *testing.T, c testCase, setup func(t *testing.T) Setup) {
	t.Helper()
	before := leak.Take()
	b := &bubble{t: t, c: c, setup: setup, done: make(chan struct{}), rule: leavesNothing}
	go b.bubbleHandler() // ends with the case; abandoned only when its clock stands still
	timeout, stop := after(bubbleTimeout)
	defer stop()
	select {
	case <-b.done:
	case <-timeout:
		t.Fatalf("the bubble's clock stands still: a goroutine waits for a mutex, or does real I/O\n%s", before.Describe())
	}
	if b.skip {
		t.Skip("does not apply, see above")
	}
	if b.crash != nil && !t.Failed() {
		t.Fatalf("%v: %v\n%s", b.rule, b.crash, before.Describe())
	}
}

func (b *bubble) bubbleHandler() {
	defer close(b.done)
	defer func() { b.crash = recover() }()
	synctest.Test(b.t, func(t *testing.T) {
		defer func() { b.skip = t.Skipped() }()
		runOnce(t, b.c, func(t *testing.T) Setup {
			s := b.setup(t)
			b.rule = s.leavesNothing()
			return s
		}, mode{bubble: true})
	})
}
