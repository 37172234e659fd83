package discoverytest

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing/synctest"
	"time"
)

// An inventory is the goroutines of the process, by their numbers, which are never used twice.
type inventory map[string]bool

func takeInventory() inventory {
	inv := make(inventory)
	for _, g := range stacks() {
		inv[goroutineID(g)] = true
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

// stacks returns the stacks of all goroutines, the calling one first.
func stacks() []string {
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

// left returns the stacks of the goroutines that are not in the inventory, other than
// the calling one and those to be ignored.
func (inv inventory) left(ignore []string) []string {
	var found []string
	for _, g := range stacks()[1:] {
		if !inv[goroutineID(g)] && !excused(g, ignore) {
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

// settle waits until at most n goroutines are left, and returns what is left otherwise.
func (inv inventory) settle(n int, ignore []string) (left []string, ok bool) {
	for pause := leakFirstPause; pause <= leakLastPause; pause *= 2 {
		if left = inv.left(ignore); len(left) <= n {
			return nil, true
		}
		time.Sleep(pause)
	}
	return left, false
}

var leavesNothing = rule{"Discovery.Close", "returns after the last of its goroutines has ended"}

// check fails t if something is left behind. In a bubble it need not be
// patient: what runs there can be waited for.
func (inv inventory) check(t tb, bubble bool, ignore []string) {
	t.Helper()
	if bubble {
		synctest.Wait()
	}
	if left, ok := inv.settle(0, ignore); !ok {
		t.Errorf("%v: left behind after all nodes were closed:\n%s", leavesNothing, describe(left))
	}
}

// describe returns the stacks of the goroutines that are not in the inventory, for a failure.
func (inv inventory) describe() string { return describe(inv.left(nil)) }

func describe(stacks []string) string {
	s := strings.Join(stacks, "\n\n")
	if len(s) <= maxDescribe {
		return s
	}
	return fmt.Sprintf("%s\n... and %d bytes more", s[:maxDescribe], len(s)-maxDescribe)
}
