// Package leak tells the conformance suites what was left behind: goroutines and
// sockets that were not there before.
package leak

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// An Inventory is what may be left behind: the process's goroutines, by their
// numbers, which are never used twice, and its sockets where the system
// shows them.
type Inventory struct {
	goroutines map[string]bool
	sockets    map[string]bool
}

// Take returns what there is now.
func Take() Inventory {
	inv := Inventory{goroutines: make(map[string]bool), sockets: openSockets()}
	for _, g := range Stacks() {
		inv.goroutines[goroutineID(g)] = true
	}
	return inv
}

const (
	maxStacks   = 64 << 20
	maxDescribe = 32 << 10

	// A goroutine that was joined may not have left the scheduler yet, so
	// what looks left behind is looked at again, after pauses that double.
	leakFirstPause = time.Millisecond
	leakLastPause  = time.Second
)

// Stacks returns the stacks of all goroutines, the calling one first.
func Stacks() []string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= maxStacks {
			return strings.Split(string(bytes.TrimSpace(buf[:n])), "\n\n")
		}
		buf = make([]byte, 4*len(buf))
	}
}

// goroutineID returns the 7 of "goroutine 7 [running]:".
func goroutineID(stack string) string {
	_, rest, _ := strings.Cut(stack, " ")
	id, _, _ := strings.Cut(rest, " ")
	return id
}

// openSockets returns the sockets that are open, empty where the system has
// no /proc/self/fd. Other descriptors are not counted: the Go runtime opens
// some of its own when it first needs them.
func openSockets() map[string]bool {
	const dir = "/proc/self/fd"
	open := make(map[string]bool)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return open
	}
	for _, e := range entries {
		if to, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			open[to] = true
		}
	}
	return open
}

// newGoroutines returns the stacks of the goroutines that are not in the
// inventory, other than the calling one and those to be ignored.
func (inv Inventory) newGoroutines(ignore []string) []string {
	var found []string
	for _, g := range Stacks()[1:] {
		if !inv.goroutines[goroutineID(g)] && !excused(g, ignore) {
			found = append(found, g)
		}
	}
	return found
}

func excused(stack string, ignore []string) bool {
	for _, text := range ignore {
		if strings.Contains(stack, text) {
			return true
		}
	}
	// What the test framework and the runtime run for themselves: crypto/tls,
	// for one, cleans up behind the garbage collector.
	return strings.Contains(stack, "created by testing.") || strings.Contains(stack, "created by os/signal.") ||
		strings.Contains(stack, "runtime.runCleanups") || strings.Contains(stack, "runtime.runFinalizers")
}

// Left returns what there is now and was not there when the inventory was
// taken, as a text, and how many things that is.
func (inv Inventory) Left(ignore []string) (text string, n int) {
	gs := inv.newGoroutines(ignore)
	text, n = strings.Join(gs, "\n\n"), len(gs)
	for s := range openSockets() {
		if !inv.sockets[s] {
			text += "\n\n" + s
			n++
		}
	}
	return text, n
}

// Settle waits for up to a second until at most n things are left, and returns
// what is left otherwise.
func (inv Inventory) Settle(n int, ignore []string) (text string, ok bool) {
	for pause := leakFirstPause; pause <= leakLastPause; pause *= 2 {
		var found int
		if text, found = inv.Left(ignore); found <= n {
			return "", true
		}
		time.Sleep(pause)
	}
	return text, false
}

// Describe returns the stacks of the goroutines that are not in the inventory,
// cut to a readable length.
func (inv Inventory) Describe() string {
	return Cut(strings.Join(inv.newGoroutines(nil), "\n\n"))
}

// Cut cuts a text that Left or Settle returned to a readable length.
func Cut(s string) string {
	if len(s) <= maxDescribe {
		return s
	}
	return fmt.Sprintf("%s\n... and %d bytes more", s[:maxDescribe], len(s)-maxDescribe)
}
