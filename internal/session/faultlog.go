package session

import (
	"runtime/debug"

	"github.com/kith-go/kith/internal/ration"
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
type faultLog struct{ lines, stacks ration.Lines }

// stack returns the stack of the goroutine that panics, and how many were left
// out since the last one; nil if there were enough for now.
func (l *faultLog) stack() (stack []byte, leftOut int) {
	leftOut, ok := l.stacks.Take(faultStacks)
	if !ok {
		return nil, 0
	}
	return debug.Stack(), leftOut
}

// line reports whether to log a line, and how many were left out since the last.
func (l *faultLog) line() (leftOut int, ok bool) { return l.lines.Take(faultLines) }
