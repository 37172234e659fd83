// Package transporttest says whether an implementation of
// [transport.Transport] keeps the rules that package transport states. It is
// meant for transports of your own as much as for kith's.
//
// A transport passes or fails in an ordinary test:
//
//	func TestTransport(t *testing.T) {
//		transporttest.Run(t, func(t *testing.T) transporttest.Setup {
//			key := kith.NewKey()
//			return transporttest.Setup{
//				Dialer:   mine.New(mine.Config{Key: key}),
//				Listener: mine.New(mine.Config{Key: key}),
//				Addr:     transport.Addr{Scheme: "mine", Host: "127.0.0.1:0"},
//			}
//		})
//	}
//
// Each case is a subtest of its own, over transports of its own; the
// repetition over one-byte reads has the prefix OneByteReads, that in virtual
// time Synctest. One that fails quotes the rule, and names the declaration in
// package transport whose comment states it:
//
//	transport.Stream.Close: "After CloseWrite nothing that was written is lost": ...
//
// No case passes or fails by how fast the transport is. Cases block on it,
// under a watchdog ([Setup.Timeout]) that fails them with the stacks of their
// goroutines. Run them with -race, which sees most of what the cases provoke,
// such as a Write that keeps its slice. With -short, cases that move much data
// move less. They take for granted that a stream has room for 16 KiB that
// nobody reads yet.
//
// After each case, with both transports closed and what setup registered with
// t.Cleanup done, no goroutine and, on Linux, no socket may be left that was
// not there before. So nothing else may run in the process meanwhile: Run does
// not call t.Parallel, and a test that calls Run must not either.
//
// # Pipes
//
// [RunPipe] is for those who have no transport, but something like a net.Conn
// to make one of with package netconn. It first tests the pipe by itself, by
// the rules of [netconn.Pipe], and then runs all that Run does.
//
// # Virtual time
//
// With [Setup.InMemory], Run repeats the cases inside a bubble of package
// testing/synctest, where a blocked case fails at once and a goroutine left
// behind cannot hide. This finds transports that cannot be used in a bubble:
// those that do real I/O, and those that hold a mutex while they block, which
// stops the bubble's clock.
package transporttest

import (
	"context"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/leak"
	"github.com/kith-go/kith/transport"
)

// A Setup is what one case runs on: two transports, where to listen, and what
// is special about them. Dialer and Listener must be set. The other fields are
// for transports that differ from the usual, and for cases that need help
// from beneath the transport; those are skipped without it.
type Setup struct {
	// Dialer and Listener are the transports that dial and listen. They may
	// be the same value. The case closes both.
	Dialer, Listener transport.Transport

	// Addr is what Listener.Listen is called with. Where there are ports, use
	// port 0: the system may still hold the last case's.
	Addr transport.Addr

	// DialerID is the identity that Dialer proves. If zero, it is only
	// checked that Dialer proves one.
	DialerID kith.ID

	// NoIdentity says that the transport proves no identities: over a plain
	// pipe, or because a CA vouches for names instead. The cases about
	// identity are skipped then, and so is that about Info.Binding if it is zero.
	NoIdentity bool

	// DialsWithoutID says that Dialer has another way to tell who answers,
	// such as a CA, and so may dial an address that has no ID.
	DialsWithoutID bool

	// MaxStreams is how many streams one side may hold open on a connection:
	// a low limit, of 4 at least, makes the cases about it quick. If zero,
	// 1,024. If negative, there is none, and those cases are skipped.
	MaxStreams int

	// MaxBuffered is how many bytes a connection may take in while the other
	// side reads nothing, both ends and all streams together. If zero, 64 MiB.
	// If negative, no limit is checked.
	MaxBuffered int64

	// InMemory says that the transport does no real I/O. All cases are then
	// also run inside a testing/synctest bubble, where setup is called too.
	InMemory bool

	// Timeout is how long a case may take before it counts as blocked. If
	// zero, 30 seconds. If negative, no limit but that of go test.
	Timeout time.Duration

	// Silent is an address where something takes connections, or packets,
	// and never answers. If it has no ID, one is added. If zero, the cases
	// that give up a dial to it are skipped, as they must be if Dial does not
	// wait to hear from the other side.
	Silent transport.Addr

	// Cut, if not nil, breaks the link beneath all connections that exist
	// between Dialer and Listener, in a way that both notice by themselves and
	// without a word of farewell: by closing the sockets underneath, say.
	Cut func()

	// Garbage, if not nil, sends p to the listener at a as raw bytes, beneath
	// all that the transport does, on a connection or a packet of its own. It
	// may leave that connection open until the test ends, and must if p is
	// empty. An error fails the case unless ctx has ended. It is called from
	// several goroutines at once.
	Garbage func(ctx context.Context, a transport.Addr, p []byte) error

	// IgnoreGoroutines lists texts by which to know goroutines that may stay
	// behind, such as those of a pool that the whole process shares: any of
	// them in a goroutine's stack excuses it.
	IgnoreGoroutines []string

	pipes *pipeEnds // set for the cases about a pipe: Dialer and Listener are that, too
}

const (
	defaultTimeout     = 30 * time.Second
	defaultMaxStreams  = 1024
	defaultMaxBuffered = 64 << 20
)

// Run runs all cases as subtests of t. It calls setup for each of them, with
// that subtest's t and from its goroutine, and once before the first to learn
// the options, which should not differ between calls. The transports of that
// first call are closed unused.
func Run(t *testing.T, setup func(t *testing.T) Setup) {
	t.Helper()
	s := setup(t)
	s.mustBeWhole(t)
	if err := closeBoth(s); err != nil {
		t.Fatalf("close an unused transport: %v", err)
	}
	runAll(t, setup)
	if s.InMemory && !failed(t, "the cases in a synctest bubble") {
		t.Run("Synctest", func(t *testing.T) { runGroups(t, groups, setup, mode{bubble: true}) })
	}
}

// runAll runs all cases in real time.
func runAll(t *testing.T, setup func(t *testing.T) Setup) {
	runGroups(t, groups, setup, mode{})
	t.Run("OneByteReads", func(t *testing.T) { runGroups(t, groups, setup, mode{oneByte: true}) })
}

// failed reports whether t has failed, which leaves something out.
func failed(t *testing.T, without string) bool {
	if t.Failed() {
		t.Logf("not run, as others fail already: %s", without)
	}
	return t.Failed()
}

func (s Setup) mustBeWhole(t *testing.T) {
	t.Helper()
	if s.Dialer == nil || s.Listener == nil {
		t.Fatal("transporttest: Setup.Dialer and Setup.Listener must be set")
	}
}

func runGroups(t *testing.T, gs []group, setup func(t *testing.T) Setup, m mode) {
	for _, g := range gs {
		if m.oneByte && !g.reads {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					if m.bubble {
						runInBubble(t, c, setup)
						return
					}
					runOnce(t, c, setup, m)
				})
			}
		})
	}
}

// runOnce runs a case on a fresh setup and looks for what it left behind,
// after everything that setup registered with t.Cleanup.
func runOnce(t *testing.T, c testCase, setup func(t *testing.T) Setup, m mode) {
	var s Setup
	before := leak.Take()
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			checkLeft(t, before, m, s)
		}
	})
	s = setup(t)
	s.mustBeWhole(t)
	runCase(t, c, s, m)
}
