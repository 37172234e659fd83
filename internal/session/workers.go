package session

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Workers run handlers on goroutines that are used again, since a goroutine
// whose stack has grown once starts a handler faster than a new one. One value
// serves all sessions of a server, and bounds the calls in flight of all of
// them together. It runs as many goroutines as there are handlers that do not
// return, and up to maxIdle parked ones, which end after one to two times
// idleWorker.
//
// A call is queued, never behind a handler: while the queue holds one, there is
// a worker on its way to take it. A worker that takes one sends another on its
// way if there are more, and only then runs the handler. So short handlers of
// one batch share a worker, at no switch between them, and a handler that blocks
// holds up nobody. Where calls of several sessions wait, these take turns.
type Workers struct {
	limit  int
	faults faultLog

	// busy is the calls that count for limit, queued ones included. It is raised
	// with mu held, so that it never exceeds limit, and lowered by leave.
	busy atomic.Int64

	mu     sync.Mutex
	calls  int           // those whose handler has not returned, or whose outcome is being sent; guarded by mu
	queue  turns         // guarded by mu
	coming bool          // a worker is on its way to the queue; guarded by mu
	load   load          // guarded by mu
	places places        // guarded by mu
	idle   []*worker     // a stack: the last parked is the warmest; guarded by mu
	reap   *time.Timer   // runs while idle is not empty; guarded by mu
	epoch  int           // how often reap has run; guarded by mu
	closed bool          // guarded by mu
	quiet  chan struct{} // closed when calls is 0, nil while nobody waits; guarded by mu

	parked sync.WaitGroup // the idle workers
}

const (
	maxIdle    = 1024
	idleWorker = 10 * time.Second
)

type worker struct {
	wake  chan struct{} // cap 1; sent to by whoever takes it off idle, closed to end it
	epoch int           // when it was parked; guarded by Workers.mu
}

// NewWorkers returns Workers that run at most limit calls at once; negative
// means any number.
func NewWorkers(limit int) *Workers { return &Workers{limit: limit} }

// NewSharedWorkers is NewWorkers for sessions with different others: who calls, and
// never ends, shall not shut out everybody else.
func NewSharedWorkers(limit int) *Workers {
	return &Workers{limit: limit, places: places{reserve: int64(limit / 8), base: time.Now()}}
}

// start runs c's handler, and reports false if the limit is reached.
func (w *Workers) start(c *inCall) bool {
	w.mu.Lock()
	// c has its slot, and so counts as running already.
	if !w.takeLocked(c.s, c.s.in.running.Load()-1) {
		w.mu.Unlock()
		return false
	}
	w.load.noteCall(c)
	k := w.pushLocked(c)
	w.mu.Unlock()
	w.send(k)
	return true
}

// admit counts c as start does, for enqueue, or for a run and a release.
func (w *Workers) admit(c *inCall) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.takeLocked(c.s, c.s.in.running.Load()-1) {
		return false
	}
	w.load.noteCall(c)
	return true
}

// enqueue has a worker run the handler of a call that was admitted.
func (w *Workers) enqueue(c *inCall) {
	w.mu.Lock()
	k := w.pushLocked(c)
	w.mu.Unlock()
	w.send(k)
}

// pushLocked queues c, and returns a worker to be sent, nil if none is needed.
func (w *Workers) pushLocked(c *inCall) *worker {
	w.queue.push(c)
	return w.summonLocked()
}

// summonLocked returns a worker to be sent to the queue, nil if none is needed.
func (w *Workers) summonLocked() *worker {
	if w.coming || w.queue.empty() {
		return nil
	}
	w.coming = true
	w.load.noteSent(w.queue.head)
	n := len(w.idle)
	if n == 0 {
		return &worker{}
	}
	k := w.idle[n-1]
	w.idle[n-1] = nil
	w.idle = w.idle[:n-1]
	return k
}

// send sends a worker on its way.
func (w *Workers) send(k *worker) {
	switch {
	case k == nil:
	case k.wake == nil:
		k.wake = make(chan struct{}, 1)
		go w.workerLoop(k)
	default:
		k.wake <- struct{}{} // never blocks: a parked worker's channel is empty
	}
}

// acquire counts a call of s that runs on a goroutine of its own, until leave and
// release.
func (w *Workers) acquire(s *Session) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.takeLocked(s, s.in.running.Load())
}

// takeLocked takes a place for a call of s, which has own ones.
func (w *Workers) takeLocked(s *Session, own int64) bool {
	busy := w.busy.Load()
	if w.closed || w.limit >= 0 && !w.places.allows(s, int64(w.limit)-busy, busy, own) {
		return false
	}
	w.busy.Add(1)
	w.calls++
	return true
}

// leave gives back a call's place among limit. It comes before the outcome is
// sent: whoever has that may call again at once, and is not to be refused for
// the sake of the call that has just ended.
func (w *Workers) leave() { w.busy.Add(-1) }

func (w *Workers) release() {
	w.mu.Lock()
	w.releaseLocked(1)
	w.mu.Unlock()
}

func (w *Workers) releaseLocked(n int) {
	w.calls -= n
	if w.calls == 0 && w.quiet != nil {
		close(w.quiet)
		w.quiet = nil
	}
}

// workerLoop runs handlers until it is reaped, the Workers are closed, or a
// handler ends its goroutine. While it runs a handler nobody waits for it; while
// it is parked, Close does.
func (w *Workers) workerLoop(k *worker) {
	w.mu.Lock()
	w.arriveLocked()
	for {
		c := w.queue.pop()
		if c == nil {
			stay := w.parkLocked(k)
			w.mu.Unlock()
			if !stay {
				return
			}
			_, ok := <-k.wake
			w.parked.Done()
			if !ok {
				return
			}
			w.mu.Lock()
			w.arriveLocked()
			continue
		}
		s := c.s
		var began time.Time // zero where nobody minds how long it takes
		if s.crowded() {
			began = time.Now()
			w.chargeLocked(s, began, callCost+time.Duration(c.bulk)*bulkCost)
		}
		w.beginLocked(c)
		next := w.summonLocked()
		w.mu.Unlock()
		w.send(next)
		w.run(c)
		w.mu.Lock()
		if !began.IsZero() {
			now := time.Now()
			w.chargeLocked(s, now, now.Sub(began))
		}
		w.returnedLocked(c)
	}
}

// arriveLocked notes that a worker has come to the queue.
func (w *Workers) arriveLocked() {
	w.coming = false
	w.load.noteArrival()
}

// run runs one call. If the handler ends the goroutine, the call is counted
// as returned all the same.
func (w *Workers) run(c *inCall) {
	returned := false
	defer func() {
		if !returned {
			w.mu.Lock()
			w.returnedLocked(c)
			w.mu.Unlock()
		}
	}()
	c.serve()
	returned = true
}

// parkLocked makes k idle, and reports false if it is not needed.
func (w *Workers) parkLocked(k *worker) bool {
	if w.closed || len(w.idle) >= maxIdle {
		return false
	}
	w.parked.Add(1)
	k.epoch = w.epoch
	w.idle = append(w.idle, k)
	if w.reap == nil {
		w.reap = time.AfterFunc(idleWorker, w.reapIdle)
	}
	return true
}

// reapIdle ends the workers that have been parked since before it last ran.
func (w *Workers) reapIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	n := 0
	for n < len(w.idle) && w.idle[n].epoch < w.epoch {
		close(w.idle[n].wake)
		n++
	}
	w.idle = slices.Delete(w.idle, 0, n)
	w.epoch++
	if len(w.idle) == 0 {
		w.reap = nil
		return
	}
	w.reap.Reset(idleWorker)
}

// Quiet returns a channel that is closed once every call has returned.
func (w *Workers) Quiet() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet == nil {
		w.quiet = make(chan struct{})
	}
	ch := w.quiet
	if w.calls == 0 {
		close(ch)
		w.quiet = nil
	}
	return ch
}

// Busy returns the number of calls in flight.
func (w *Workers) Busy() int { return int(w.busy.Load()) }

// Close ends the parked workers and lets no further call begin. It does not
// wait for handlers; their goroutines end with them.
func (w *Workers) Close() {
	w.mu.Lock()
	w.closed = true
	for _, k := range w.idle {
		close(k.wake)
	}
	w.idle = nil
	if w.reap != nil {
		w.reap.Stop()
	}
	w.mu.Unlock()
	w.parked.Wait()
}
