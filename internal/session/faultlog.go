package session

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// faultLines is how many lines a second are logged of calls that failed: more
	// than of what else others can cause, as each names a call whose caller has
	// nothing but that name.
	faultLines = 100
	// faultStacks is how many lines, whatever else is logged, may have the stack of a panic, which costs
	// far more than the call.
	faultStacks = 10
)

// A faultLog keeps handlers that fail, which whoever calls them may cause at
// will, from filling the log. One serves all sessions that share Workers.
type faultLog struct{ lines, stacks ration }

// A ration is what may be logged of one kind in a second.
type ration struct {
	mu      sync.Mutex
	began   time.Time // when the second did; guarded by mu, like what follows
	used    int       // in it
	leftOut int       // since the last that passed
}

// take reports whether one more may pass, of most in a second, and how many were
// left out since the last one did.
func (r *ration) take(most int) (leftOut int, ok bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.began) >= time.Second {
		r.began, r.used = now, 0
	}
	if r.used >= most {
		r.leftOut++
		return 0, false
	}
	r.used++
	leftOut, r.leftOut = r.leftOut, 0
	return leftOut, true
}

// stack returns the stack of the goroutine that panics, and how many were left
// out since the last one; nil if there were enough for now.
func (l *faultLog) stack() (stack []byte, leftOut int) {
	leftOut, ok := l.stacks.take(faultStacks)
	if !ok {
		return nil, 0
	}
	return debug.Stack(), leftOut
}

// line reports whether to log a line, and how many were left out since the last.
func (l *faultLog) line() (leftOut int, ok bool) { return l.lines.take(faultLines) }
