package transporttest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refSetup has everything that the suite can make use of.
func refSetup(n *refNet) Setup {
	dialer, listener := n.transport(), n.transport()
	return Setup{
		Dialer:      dialer,
		Listener:    listener,
		Addr:        transport.Addr{Scheme: "ref", Host: "any"},
		DialerID:    dialer.id,
		MaxStreams:  n.limit,
		MaxBuffered: 8 << 20,
		InMemory:    true,
		Silent:      transport.Addr{Scheme: "ref", Host: silentHost},
		Cut:         n.cut,
		Garbage: func(_ context.Context, a transport.Addr, p []byte) error {
			n.mu.Lock()
			l := n.listen[a.Host]
			n.mu.Unlock()
			l.garbage(p)
			return nil
		},
	}
}

func TestReference(t *testing.T) {
	Run(t, func(t *testing.T) Setup { return refSetup(newRefNet(noFault)) })
}

// A recorder is the tb of a case that is expected to fail.
type recorder struct {
	mu      sync.Mutex
	text    string // guarded by mu
	skipped bool   // guarded by mu
	reason  string // guarded by mu; for the skip
	done    chan struct{}
}

func (*recorder) Helper()  {}
func (*recorder) FailNow() { runtime.Goexit() }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text += fmt.Sprintf(format, args...)
}

func (r *recorder) Skip(args ...any) {
	r.mu.Lock()
	r.skipped, r.reason = true, fmt.Sprint(args...)
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) caseHandler(c testCase, s Setup) {
	defer close(r.done)
	runCase(r, c, s, mode{})
}

// record runs a case on s and returns how it failed, "" if it did not.
func record(c testCase, s Setup) *recorder {
	r := &recorder{done: make(chan struct{})}
	go r.caseHandler(c, s) // ends with the case, waited for below
	<-r.done
	return r
}

func findCase(name string) (testCase, bool) {
	for _, g := range groups {
		for _, c := range g.cases {
			if g.name+"/"+c.name == name {
				return c, true
			}
		}
	}
	return testCase{}, false
}

// TestFaultsAreCaught breaks one rule at a time and wants the cases that are
// meant for it to fail, and to say which rule. Most run in virtual time, where
// what hangs costs nothing.
func TestFaultsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("the cases move too little data to find everything")
	}
	for _, f := range slices.Sorted(maps.Keys(caught)) {
		t.Run(string(f), func(t *testing.T) {
			for _, name := range caught[f] {
				if slices.Contains(inRealTime, f) {
					expectCaught(t, f, name)
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					expectCaught(t, f, name)
					time.Sleep(time.Minute) // for what the case had to abandon
				})
			}
		})
	}
}

// inRealTime lists the faults that are looked for in real time: those that
// spin, and those that show only if a call was blocked already.
var inRealTime = []fault{
	acceptLosesConn, acceptLosesStream, openFailsAtLimit, readDeadlineUnseen, writeDeadlineUnseen,
}

func expectCaught(t *testing.T, f fault, name string) {
	t.Helper()
	c, ok := findCase(name)
	if !ok {
		t.Fatalf("no case is named %s", name)
	}
	n := newRefNet(f)
	s := refSetup(n)
	s.Timeout = 2 * time.Second
	r := record(c, s)
	close(n.stuck)
	if r.text == "" {
		t.Errorf("%s did not fail", name)
		return
	}
	if !strings.HasPrefix(r.text, "transport.") {
		t.Errorf("%s failed without naming a rule: %s", name, r.text)
	}
	first, _, _ := strings.Cut(r.text, "\n")
	t.Logf("%s: %s", name, first)
}

// TestEveryCaseCatchesAFault holds that no case is idle.
func TestEveryCaseCatchesAFault(t *testing.T) {
	used := make(map[string]bool)
	for _, names := range caught {
		for _, name := range names {
			used[name] = true
		}
	}
	for _, g := range groups {
		for _, c := range g.cases {
			if name := g.name + "/" + c.name; !used[name] {
				t.Errorf("no fault is caught by %s", name)
			}
		}
	}
}
