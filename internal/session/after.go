package session

import (
	"sync/atomic"
	"time"
)

// An afterFlush makes the reader read on after the answers to what it has read are
// sent, where goroutines that compute hold all processors. Else it would read at
// once, find nothing, and wait for the network; the answers leave a moment later,
// nothing of ours is left to run, and those that compute have the processor for a
// time slice or two before anybody sees the next calls. Read after the answers, they are
// often there. Eight callers beside as many goroutines that compute as there are
// processors: 1,948 to 2,597 calls/s instead of 408 to 489 with server and client in two
// processes; in one, where it came and went, 7,335 to 28,320 instead of 213 to 30,961.
type afterFlush struct {
	busy  atomic.Bool   // yields take long
	waits atomic.Bool   // the reader waits for sent
	sent  chan struct{} // cap 1; sent to by whoever sets waits to false; nil until it first waits
	timer *time.Timer   // the reader's own
}

// maxAfter is how long the reader waits: handlers may take longer.
const maxAfter = time.Millisecond

// flushed is called whenever the lane's buffer was written.
func (a *afterFlush) flushed() {
	if a.waits.Load() && a.waits.Swap(false) {
		a.sent <- struct{}{} // never blocks: the reader takes it before it waits again
	}
}

// wait waits for that, on busy processors. The reader calls it.
func (a *afterFlush) wait() {
	if !a.busy.Load() {
		return
	}
	if a.timer == nil {
		a.timer, a.sent = time.NewTimer(maxAfter), make(chan struct{}, 1)
	} else {
		a.timer.Reset(maxAfter)
	}
	a.waits.Store(true)
	select {
	case <-a.sent:
		a.timer.Stop()
	case <-a.timer.C:
		if !a.waits.Swap(false) {
			<-a.sent
		}
	}
}
