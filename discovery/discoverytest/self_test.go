package discoverytest

import (
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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReference(t *testing.T) {
	Run(t, func(testing.TB) Setup { return newRefBus(noFault).setup() })
}

// A medium that can do less has cases skipped, and none that fails.
func TestPoorMedium(t *testing.T) {
	Run(t, func(testing.TB) Setup {
		s := newRefBus(goodbyeUnheard).setup()
		s.NoGoodbye, s.Inject, s.Crash, s.InMemory = true, nil, nil, false
		return s
	})
}

// A recorder is the tb of a case that is expected to fail.
type recorder struct {
	mu      sync.Mutex
	text    string // guarded by mu
	skipped bool   // guarded by mu
	done    chan struct{}
}

// Helper implements tb.
func (*recorder) Helper() {}

// FailNow implements tb.
func (*recorder) FailNow() { runtime.Goexit() }

// Errorf implements tb.
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text += fmt.Sprintf(format, args...)
}

// Skip implements tb.
func (r *recorder) Skip(...any) {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) caseHandler(c testCase, s Setup) {
	defer close(r.done)
	runCase(r, c, s, true)
}

// TestFaultsAreCaught breaks one rule at a time and wants the cases that are
// meant for it to fail, and to say which rule. They run in virtual time, where
// what hangs costs nothing.
func TestFaultsAreCaught(t *testing.T) {
	for _, f := range slices.Sorted(maps.Keys(caught)) {
		t.Run(string(f), func(t *testing.T) {
			for _, name := range caught[f] {
				synctest.Test(t, func(t *testing.T) { expectCaught(t, f, name) })
			}
		})
	}
}

func expectCaught(t *testing.T, f fault, name string) {
	t.Helper()
	i := slices.IndexFunc(cases, func(c testCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("no case is named %s", name)
	}
	bus := newRefBus(f)
	r := &recorder{done: make(chan struct{})}
	go r.caseHandler(cases[i], bus.setup()) // ends with the case, waited for below
	<-r.done
	close(bus.stuck)
	for _, n := range bus.all() {
		n.closeTables() // for what the case had to abandon
	}
	time.Sleep(time.Minute)
	if r.text == "" {
		t.Fatalf("%s did not fail", name)
	}
	if !strings.HasPrefix(r.text, "discovery.") {
		t.Errorf("%s failed without naming a rule: %s", name, r.text)
	}
	first, _, _ := strings.Cut(r.text, "\n")
	t.Logf("%s: %s", name, first)
}

// TestEveryCaseCatchesAFault holds that no case is idle, and no fault forgotten.
func TestEveryCaseCatchesAFault(t *testing.T) {
	used := make(map[string]bool)
	for _, names := range caught {
		for _, name := range names {
			used[name] = true
		}
	}
	for _, c := range cases {
		if !used[c.name] {
			t.Errorf("no fault is caught by %s", c.name)
		}
	}
}
