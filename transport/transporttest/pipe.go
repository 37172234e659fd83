package transporttest

import (
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// A PipeSetup says what [RunPipe] tests, and what is special about it. Make must
// be set.
type PipeSetup struct {
	// Make returns the two ends of a new pipe. It is called often, from several
	// goroutines at once, and must not wait for another call of it. t is that
	// of the case: Make may call t.Fatal, which ends the case, and t.Cleanup. What
	// uses the ends closes them.
	Make func(t testing.TB) (a, b netconn.Pipe)

	// Plaintext runs the suite over netconn without kith's TLS, for pipes that
	// are meant to be used so. The cases about identity are skipped then.
	Plaintext bool

	// InMemory says that the pipe does no real I/O. All cases are then also run
	// inside a testing/synctest bubble, where Make is called too.
	InMemory bool

	// Timeout is how long a case may take before it counts as blocked. If
	// zero, 30 seconds. If negative, no limit but that of go test.
	Timeout time.Duration

	// MaxBuffered is how many bytes one direction of the pipe may take in while
	// nobody reads. If zero, 64 MiB. A pipe that takes in more cannot be tested
	// for what happens to a Write that waits; it is said which cases that skips.
	MaxBuffered int64

	// IgnoreGoroutines lists texts by which to know goroutines that may stay
	// behind, see [Setup].
	IgnoreGoroutines []string
}

// RunPipe tests a byte pipe of your own, and the transport that package netconn
// makes of it:
//
//	func TestPipe(t *testing.T) {
//		transporttest.RunPipe(t, transporttest.PipeSetup{
//			Make: func(t testing.TB) (a, b netconn.Pipe) { return mine.Pipe() },
//		})
//	}
//
// First come the rules of [netconn.Pipe], one by one, as the subtests Pipe/*:
// what breaks there would show as something else above. If all hold, those of
// [Run] follow. What a pipe need not have (deadlines, a half-close) and has not
// is a skipped case that says so.
//
// As after those of Run, no goroutine and no socket may be left after a case.
func RunPipe(t *testing.T, s PipeSetup) {
	t.Helper()
	if s.Make == nil {
		t.Fatal("transporttest: PipeSetup.Make must be set")
	}
	runGroups(t, pipeGroups, s.alone, mode{})
	if failed(t, "the suite over netconn") {
		return
	}
	runAll(t, s.underNetconn)
	if s.InMemory && !failed(t, "the cases in a synctest bubble") {
		t.Run("Synctest", func(t *testing.T) {
			runGroups(t, pipeGroups, s.alone, mode{bubble: true})
			runGroups(t, groups, s.underNetconn, mode{bubble: true})
		})
	}
}

// alone sets a case up on the pipe itself.
func (s PipeSetup) alone(t *testing.T) Setup {
	ends := &pipeEnds{t: t, make: s.Make}
	return Setup{
		Dialer: ends, Listener: ends, pipes: ends,
		MaxBuffered: s.MaxBuffered, Timeout: s.Timeout, InMemory: s.InMemory, IgnoreGoroutines: s.IgnoreGoroutines,
	}
}

// underNetconn sets a case up on a transport over such pipes. Everything that
// needs help from beneath the transport has it: this is beneath.
func (s PipeSetup) underNetconn(t *testing.T) Setup {
	n := &pipeNet{ends: pipeEnds{t: t, make: s.Make}, listeners: make(map[string]*pipeListener)}
	t.Cleanup(n.cut) // what was given to nobody
	cfg := netconn.Config{Scheme: pipeScheme, Dial: n.dial, Listen: n.listen, Plaintext: s.Plaintext}
	dialer, listener := cfg, cfg
	if !s.Plaintext {
		dialer.Key, listener.Key = kith.NewKey(), kith.NewKey()
	}
	out := Setup{
		Dialer: netconn.New(dialer), Listener: netconn.New(listener),
		Addr:       transport.Addr{Scheme: pipeScheme, Host: "anyone"},
		NoIdentity: s.Plaintext, DialsWithoutID: s.Plaintext,
		Cut: n.cut, Garbage: n.garbage,
		Timeout: s.Timeout, InMemory: s.InMemory, IgnoreGoroutines: s.IgnoreGoroutines,
	}
	if !s.Plaintext { // where Dial does not wait for an answer
		out.DialerID = dialer.Key.ID()
		out.Silent = transport.Addr{Scheme: pipeScheme, Host: silentPipe}
	}
	return out
}
