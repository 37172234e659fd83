package transporttest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith/internal/leak"
)

// A tb is what a case reports to: *testing.T, or a recorder in this package's
// own tests.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Skip(args ...any)
}

// A mode says how the cases are run.
type mode struct {
	oneByte bool // every Read returns one byte at most
	bubble  bool // inside a synctest bubble
}

// A testCase is one named rule or a few that go together.
type testCase struct {
	name string
	body func(*run)
}

// A group is the cases of one theme, one file.
type group struct {
	name  string
	reads bool // worth repeating over one-byte reads
	cases []testCase
}

// A run is one case being run. Its body and all that the body starts are
// tasks: goroutines that end when they return or when one of them fails the
// case, which ends ctx and closes both transports under the others.
type run struct {
	Setup
	mode
	ctx    context.Context // ends with the case, as a testing.T's does: the bound of all that takes one
	cancel context.CancelFunc
	broken chan struct{} // closed by the first failure

	mu      sync.Mutex
	rule    rule          // guarded by mu; the one at stake
	failure string        // guarded by mu; the first one: what follows from it is noise
	skipped string        // guarded by mu
	over    bool          // guarded by mu; nothing is recorded any more
	running int           // guarded by mu; tasks
	idle    chan struct{} // guarded by mu; closed by the last task, once set
}

// runCase runs one case on s, closes its transports, and reports to t.
func runCase(t tb, c testCase, s Setup, m mode) {
	t.Helper()
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	r := &run{Setup: s, mode: m, broken: make(chan struct{})}
	if s.Timeout > 0 {
		r.ctx, r.cancel = context.WithTimeout(context.Background(), s.Timeout)
	} else {
		r.ctx, r.cancel = context.WithCancel(context.Background())
	}
	defer r.cancel()

	before := leak.Take()
	r.obey(rule{"Transport", "makes connections"})
	body := r.start(func() { c.body(r) })
	// The margin lets what takes a ctx end with an error of its own first.
	if !r.watch(body.done, s.Timeout+s.Timeout/4) {
		r.fail("still blocked after %v\n%s", s.Timeout, before.Describe())
	}
	r.finish(before)
	r.report(t)
}

// finish ends what the body left: tasks, listeners and connections.
func (r *run) finish(before leak.Inventory) {
	r.cancel()
	r.obey(rule{"Transport.Close", "Close ends all listeners and connections of the transport"})
	if r.pipes != nil {
		r.obey(rule{"netconn.Pipe", "Close unblocks Read and Write of its own end"})
	}
	closing := r.start(func() {
		if err := closeBoth(r.Setup); err != nil {
			r.fatalf("Close() = %v, want nil", err)
		}
	})
	grace := r.Timeout / 3
	if !r.await(closing.done, grace) {
		r.fail("Close blocks\n%s", before.Describe())
		return
	}
	r.mu.Lock()
	r.idle = make(chan struct{})
	idle := r.idle
	if r.running == 0 {
		close(idle)
	}
	r.mu.Unlock()
	if !r.await(idle, grace) {
		r.fail("calls are still blocked after both %s were closed\n%s", r.ends(), before.Describe())
	}
}

// report hands on how the case ended. Tasks that a failed case could not end
// are abandoned here, and heard no more.
func (r *run) report(t tb) {
	t.Helper()
	r.mu.Lock()
	r.over = true
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

// watch waits until done is closed or the case fails; it is false if neither
// came within d. A negative d is no limit.
func (r *run) watch(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-r.broken:
		return true
	default:
	}
	timeout, stop := after(d)
	defer stop()
	select {
	case <-done:
	case <-r.broken:
	case <-timeout:
		return false
	}
	return true
}

// await waits until done is closed; it is false if it is not within d.
func (r *run) await(done <-chan struct{}, d time.Duration) bool {
	timeout, stop := after(d)
	defer stop()
	select {
	case <-done:
		return true
	case <-timeout:
		return false
	}
}

// after is a timer that never fires if d is negative.
func after(d time.Duration) (<-chan time.Time, func() bool) {
	if d < 0 {
		return nil, func() bool { return false }
	}
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// A rule is words from the comment of a declaration in package transport, or in
// package netconn if its name says so. A test of this package holds both
// against the source.
type rule struct {
	decl, words string
}

func (u rule) String() string {
	if strings.HasPrefix(u.decl, "netconn.") {
		return fmt.Sprintf("%s: %q", u.decl, u.words)
	}
	return fmt.Sprintf("transport.%s: %q", u.decl, u.words)
}

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

// fail is fatalf for what is not a task.
func (r *run) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	where := caseLine()
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

// caseLine finds the outermost line of a task: where in the case it was. It
// is empty outside tasks.
func caseLine() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	where := ""
	for {
		f, more := frames.Next()
		switch file := path.Base(f.File); {
		case strings.HasSuffix(f.Function, ".taskHandler"):
			return where
		case strings.Contains(f.Function, "/transporttest.") && file != "run.go" && file != "task.go":
			where = fmt.Sprintf(" (%s:%d)", file, f.Line)
		}
		if !more {
			return ""
		}
	}
}

func closeBoth(s Setup) error {
	return errors.Join(s.Dialer.Close(), s.Listener.Close())
}
