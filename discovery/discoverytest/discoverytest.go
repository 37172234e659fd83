// Package discoverytest says whether an implementation of [discovery.Discovery]
// keeps the rules that package discovery states. It is meant for media of your own
// as much as for kith's.
//
// A Discovery passes or fails in an ordinary test:
//
//	func TestDiscovery(t *testing.T) {
//		discoverytest.Run(t, func(t testing.TB) discoverytest.Setup {
//			medium := mine.NewMedium()
//			return discoverytest.Setup{
//				New: func() discovery.Discovery { return medium.NewNode() },
//			}
//		})
//	}
//
// Each case is a subtest of its own, over a medium of its own and, so that
// others on a real network do not disturb it, in a discovery network of its own. One that fails
// quotes the rule, and names the declaration in package discovery whose comment states it:
//
//	discovery.Browser.Next: "without losing a change": ...
//
// A case that needs what a medium cannot do is skipped, saying which field of [Setup] is missing.
//
// No case passes or fails by how fast the medium is: cases wait for what must come, under a
// watchdog ([Setup.Timeout]) that fails them with the stacks of their goroutines. What must not come is looked
// for until something that was sent later has come. Run them with -race.
//
// After each case, with all its nodes closed and what setup registered with t.Cleanup done, no goroutine
// may be left that was not there before. So nothing else may run in the process meanwhile: Run does not call
// t.Parallel, and a test that calls Run must not either.
//
// With [Setup.InMemory], Run repeats the cases inside a bubble of package testing/synctest.
package discoverytest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/internal/leak"
)

// A Setup is what one case runs on: a medium, and what is special about it. New must be set.
type Setup struct {
	// New adds a node to the medium, as another host or process would be, and
	// returns its Discovery. The case closes it. New is called from one goroutine at a time.
	New func() discovery.Discovery

	// Addr is what the records have as their address. If empty,
	// "quic://10.0.0.7:4433".
	Addr string

	// Inject, if not nil, puts bytes onto the medium in a record's place, as
	// somebody would who is on the network and keeps no rule. All nodes hear them.
	Inject func(raw []byte) error

	// Crash, if not nil, takes a node that New made off the medium without a word, as kill -9 would.
	// Its Discovery is closed later. With it, Suspect is expected to notice that the node is dead.
	Crash func(d discovery.Discovery)

	// NoGoodbye says that the medium cannot say goodbye.
	NoGoodbye bool

	// InMemory says that the medium does no real I/O. All cases are then also run
	// inside a testing/synctest bubble, where setup is called too.
	InMemory bool

	// Timeout is how long a case may take before it counts as blocked. If
	// zero, 30 seconds.
	Timeout time.Duration

	// IgnoreGoroutines lists texts by which to know goroutines that may stay behind:
	// any of them in a goroutine's stack excuses it.
	IgnoreGoroutines []string
}

const (
	defaultTimeout = 30 * time.Second
	defaultAddr    = "quic://10.0.0.7:4433"
)

// Run runs all cases as subtests of t. It calls setup for each of them, with
// that subtest's t and from its goroutine.
func Run(t *testing.T, setup func(t testing.TB) Setup) {
	t.Helper()
	inMemory := false
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := runOnce(t, c, setup, false)
			inMemory = inMemory || s.InMemory
		})
	}
	switch {
	case !inMemory:
	case t.Failed():
		t.Log("not run in a synctest bubble, as cases fail outside it already")
	default:
		t.Run("Synctest", func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					skipped := false
					synctest.Test(t, func(t *testing.T) {
						defer func() { skipped = t.Skipped() }()
						runOnce(t, c, setup, true)
					})
					if skipped {
						t.Skip("does not apply, see above")
					}
				})
			}
		})
	}
}

// runOnce runs a case on a fresh setup and looks for what it left behind,
// after everything that setup registered with t.Cleanup.
func runOnce(t *testing.T, c testCase, setup func(t testing.TB) Setup, bubble bool) Setup {
	t.Helper()
	var s Setup
	before := leak.Take()
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			checkLeft(t, before, bubble, s.IgnoreGoroutines)
		}
	})
	s = setup(t)
	if s.New == nil {
		t.Fatal("discoverytest: Setup.New must be set")
	}
	runCase(t, c, s, bubble)
	return s
}
