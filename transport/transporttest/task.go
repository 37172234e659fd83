package transporttest

import (
	"runtime"
	"strings"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/internal/leak"
)

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
	r.mu.Lock()
	r.running++
	r.mu.Unlock()
	go t.taskHandler() // ends with body, which finish unblocks and waits for
	return t
}

func (t *task) taskHandler() {
	defer t.end()
	t.body()
	t.ok = true
}

func (t *task) end() {
	close(t.done)
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.running--
	if t.r.running == 0 && t.r.idle != nil {
		close(t.r.idle)
	}
}

// wait returns when the task has, and ends the calling task if it gave up.
func (t *task) wait() {
	<-t.done
	if !t.ok {
		runtime.Goexit()
	}
}

// all runs the functions at once and waits for all of them.
func (r *run) all(fs ...func()) {
	tasks := make([]*task, len(fs))
	for i, f := range fs {
		tasks[i] = r.start(f)
	}
	for _, t := range tasks {
		t.wait()
	}
}

// each runs f(0) to f(n-1) at once and waits for all of them.
func (r *run) each(n int, f func(i int)) {
	fs := make([]func(), n)
	for i := range fs {
		fs[i] = func() { f(i) }
	}
	r.all(fs...)
}

const (
	blockLooks = 200
	blockPause = time.Millisecond
)

// letBlock lets the other tasks get to where they wait, so that what follows
// meets them there. It decides how much is tested, never whether a case
// passes: on a busy machine it may give up early. Only the body calls it.
func (r *run) letBlock() {
	if r.bubble {
		synctest.Wait()
		return
	}
	for range blockLooks {
		time.Sleep(blockPause)
		if tasksWait() {
			return
		}
	}
}

// tasksWait reports whether all tasks but the calling one are waiting.
func tasksWait() bool {
	for _, g := range leak.Stacks()[1:] {
		if strings.Contains(g, "(*task).taskHandler") && !waits(g) {
			return false
		}
	}
	return true
}

// waits tells by the first line of a goroutine's stack, such as
// "goroutine 7 [chan receive, 2 minutes]:", whether it waits for others.
func waits(stack string) bool {
	head, _, _ := strings.Cut(stack, "\n")
	for _, state := range []string{"[chan ", "[select", "[sync.Cond.Wait", "[IO wait", "[sleep"} {
		if strings.Contains(head, state) {
			return true
		}
	}
	return false
}
