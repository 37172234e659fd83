package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/internal/leak"
)

// A tb is what a case reports to: *testing.T, or a recorder in this package's own tests.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Skip(args ...any)
}

// A testCase is one named rule or a few that go together.
type testCase struct {
	name string
	body func(*run)
}

// A run is one case being run. Its body and all that the body starts are tasks: goroutines that
// end when they return or when one of them fails the case, which ends ctx and closes the nodes
// under the others.
type run struct {
	Setup
	bubble  bool
	network discovery.Tag
	ctx     context.Context // ends with the case, as a testing.T's does: the bound of all that takes one
	cancel  context.CancelFunc
	broken  chan struct{} // closed by the first failure
	tasks   sync.WaitGroup

	mu      sync.Mutex
	nodes   []discovery.Discovery // guarded by mu
	rule    rule                  // guarded by mu; the one at stake
	failure string                // guarded by mu; the first one: what follows from it is noise
	skipped string                // guarded by mu
	over    bool                  // guarded by mu; nothing is recorded any more
}

// runCase runs one case on s, closes its nodes, and reports to t.
func runCase(t tb, c testCase, s Setup, bubble bool) {
	t.Helper()
	if s.Timeout <= 0 {
		s.Timeout = defaultTimeout
	}
	if s.Addr == "" {
		s.Addr = defaultAddr
	}
	r := &run{Setup: s, bubble: bubble, network: newNetwork(), broken: make(chan struct{})}
	r.ctx, r.cancel = context.WithTimeout(context.Background(), s.Timeout)
	defer r.cancel()

	before := leak.Take()
	body := r.start(func() { c.body(r) })
	// The margin lets what takes a ctx end with an error of its own first.
	if !r.await(body.done, r.broken, s.Timeout+s.Timeout/4) {
		r.fail("still blocked after %v\n%s", s.Timeout, before.Describe())
	}
	r.finish(before)

	r.mu.Lock()
	r.over = true // tasks that could not be ended are heard no more
	failure, skipped := r.failure, r.skipped
	r.mu.Unlock()
	switch {
	case failure != "":
		t.Errorf("%s", failure)
		t.FailNow()
	case skipped != "":
		t.Skip(skipped)
	}
}

// newNetwork makes a network that nobody else is in.
func newNetwork() discovery.Tag { return discovery.Public(kith.NewKey().ID().String()).Network() }

// finish ends what the body left: tasks and nodes.
func (r *run) finish(before leak.Inventory) {
	r.cancel()
	r.mu.Lock()
	nodes := slices.Clone(r.nodes)
	r.mu.Unlock()
	if r.passed() {
		r.obey(rule{"Discovery.Close", "ends all Advertisers and Browsers"})
	}
	closing := r.start(func() {
		for _, d := range nodes {
			if err := d.Close(); err != nil {
				r.fatalf("Close() = %v, want nil", err)
			}
		}
	})
	if !r.await(closing.done, nil, r.Timeout/3) {
		r.fail("Close blocks\n%s", before.Describe())
		return
	}
	idle := make(chan struct{})
	go r.idleLoop(idle) // ends with the last task; abandoned, as the tasks are, if one is stuck
	if !r.await(idle, nil, r.Timeout/3) {
		r.fail("calls are still blocked after all nodes were closed\n%s", before.Describe())
	}
}

func (r *run) idleLoop(idle chan<- struct{}) {
	r.tasks.Wait()
	close(idle)
}

func (r *run) passed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure == ""
}

// await waits until done or other is closed; it is false if neither is within d.
func (r *run) await(done, other <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-other:
	case <-timer.C:
		return false
	}
	return true
}

// A rule is words from the comment of a declaration in package discovery. A test of this package
// holds both against the source.
type rule struct {
	decl, words string
}

func (u rule) String() string { return fmt.Sprintf("discovery.%s: %q", u.decl, u.words) }

// obey names the rule that is at stake from here on.
func (r *run) obey(u rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rule = u
}

// fatalf fails the case, unless it has failed already, and ends the task.
func (r *run) fatalf(format string, args ...any) {
	r.fail(format, args...)
	runtime.Goexit()
}

// breaks is fatalf for another rule than that at stake.
func (r *run) breaks(u rule, format string, args ...any) {
	r.obey(u)
	r.fatalf(format, args...)
}

// fail is fatalf for what is not a task.
func (r *run) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	where := caseLine()
	defer r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.failure != "" {
		return
	}
	r.failure = fmt.Sprintf("%s: %s%s", r.rule, text, where)
	r.skipped = ""
	close(r.broken)
}

// skip ends the case as one that does not apply, with the reason.
func (r *run) skip(reason string) {
	r.mu.Lock()
	r.skipped = reason
	r.mu.Unlock()
	runtime.Goexit()
}

// caseLine finds the outermost line of a task: where in the case it was. It is empty outside tasks.
func caseLine() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	where := ""
	for {
		f, more := frames.Next()
		switch file := path.Base(f.File); {
		case strings.HasSuffix(f.Function, ".taskHandler"):
			return where
		case strings.Contains(f.Function, "/discoverytest.") && file != "run.go":
			where = fmt.Sprintf(" (%s:%d)", file, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// A task is a goroutine of a run.
type task struct {
	r    *run
	body func()
	done chan struct{} // closed by taskHandler, after ok is set
	ok   bool          // set before done closes: body returned
}

// start runs f as a task. The case ends only after it.
func (r *run) start(f func()) *task {
	t := &task{r: r, body: f, done: make(chan struct{})}
	r.tasks.Add(1)
	go t.taskHandler() // ends with body, which finish unblocks and waits for
	return t
}

func (t *task) taskHandler() {
	defer t.r.tasks.Done()
	defer close(t.done)
	t.body()
	t.ok = true
}

// wait returns when the task has, and ends the calling task if it gave up.
func (t *task) wait() {
	<-t.done
	if !t.ok {
		runtime.Goexit()
	}
}

// each runs f(0) to f(n-1) at once and waits for all of them.
func (r *run) each(n int, f func(i int)) {
	tasks := make([]*task, n)
	for i := range tasks {
		tasks[i] = r.start(func() { f(i) })
	}
	for _, t := range tasks {
		t.wait()
	}
}

// mustEnd fails the case unless err is or wraps want.
func (r *run) mustEnd(call string, err, want error) {
	if !errors.Is(err, want) {
		r.fatalf("%s = %v, want %v", call, err, want)
	}
}
