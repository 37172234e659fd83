package transporttest

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing/synctest"
	"time"
)

// An inventory is what may be left behind: the process's goroutines, by their
// numbers, which are never used twice, and its sockets where the system
// shows them.
type inventory struct {
	goroutines map[string]bool
	sockets    map[string]bool
}

func takeInventory() inventory {
	inv := inventory{goroutines: make(map[string]bool), sockets: openSockets()}
	for _, g := range stacks() {
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
func (inv inventory) newGoroutines(ignore []string) []string {
	var found []string
	for _, g := range stacks()[1:] {
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

// left returns what there is now and was not there when the inventory was
// taken, as a text, and how many things that is.
func (inv inventory) left(ignore []string) (text string, n int) {
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

// settle waits until at most n things are left, and returns what is left
// otherwise.
func (inv inventory) settle(n int, ignore []string) (text string, ok bool) {
	for pause := leakFirstPause; pause <= leakLastPause; pause *= 2 {
		var found int
		if text, found = inv.left(ignore); found <= n {
			return "", true
		}
		time.Sleep(pause)
	}
	return text, false
}

var leavesNothing = rule{"Transport.Close", "returns after the last of its goroutines"}

// check fails t if something is left behind by a case that ran on s. In a bubble
// it need not be patient: what runs there can be waited for.
func (inv inventory) check(t tb, m mode, s Setup) {
	t.Helper()
	var text string
	if m.bubble {
		synctest.Wait()
		text, _ = inv.left(s.IgnoreGoroutines)
	} else {
		text, _ = inv.settle(0, s.IgnoreGoroutines)
	}
	if text != "" {
		t.Errorf("%v: left behind after both %s were closed:\n%s", s.leavesNothing(), s.ends(), cut(text))
	}
}

// leavesNothing is the rule for when all is over.
func (s Setup) leavesNothing() rule {
	if s.pipes != nil {
		return rule{"netconn.Pipe", "When both ends are closed, nothing of the pipe is left"}
	}
	return leavesNothing
}

// ends says what a case is run between.
func (s Setup) ends() string {
	if s.pipes != nil {
		return "ends"
	}
	return "transports"
}

// describe returns the stacks of the goroutines that are not in the inventory,
// for a failure.
func (inv inventory) describe() string {
	return cut(strings.Join(inv.newGoroutines(nil), "\n\n"))
}

func cut(s string) string {
	if len(s) <= maxDescribe {
		return s
	}
	return fmt.Sprintf("%s\n... and %d bytes more", s[:maxDescribe], len(s)-maxDescribe)
}
