package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kith-go/kith/internal/netns"
)

// patience is the bound that tells a hang from an end.
const patience = 60 * time.Second

// A terminal is a chat that somebody types into.
type terminal struct {
	t     *testing.T
	name  string
	stdin io.WriteCloser
	lines chan string // what it shows; closed by readLoop
	seen  []string    // the latest of what was read of that
	code  func() int  // waits for its end
	kill  func()
}

// process starts a chat as a process of its own in a directory.
func process(t *testing.T, dir, name string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-name", name, "-silence", "6s"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asMain+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	c := &terminal{t: t, name: name, stdin: stdin, lines: make(chan string)}
	go c.readLoop(out)
	c.code = func() int {
		c.drain()
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	c.kill = func() {
		_ = cmd.Process.Kill() // kill -9
		c.code()
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			c.kill()
		}
	})
	return c
}

// within runs a chat in this process.
func within(t *testing.T, dir, name string, args ...string) *terminal {
	t.Helper()
	args = append([]string{
		"-name", name, "-key-file", filepath.Join(dir, name+".key"), "-network-key-file", filepath.Join(dir, "lan.key"),
	}, args...)
	ctx, cancel := context.WithCancel(context.Background())
	keys, stdin := io.Pipe()
	out, in := io.Pipe()
	c := &terminal{t: t, name: name, stdin: stdin, lines: make(chan string)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, args, keys, in, in)
		_ = in.Close()
	}()
	go c.readLoop(out)
	c.code = func() int {
		c.drain()
		code := <-ended
		ended <- code
		return code
	}
	c.kill = func() {
		cancel() // as Ctrl-C does
		_ = stdin.Close()
		c.code()
	}
	t.Cleanup(c.kill)
	return c
}

// readLoop reads what the chat shows. It ends with the chat.
func (c *terminal) readLoop(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	defer close(c.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		c.lines <- s.Text()
	}
}

// next returns what the chat shows next, and keeps it for failures to tell.
func (c *terminal) next(bound <-chan time.Time) (line string, ok bool) {
	select {
	case line, ok = <-c.lines:
		if c.seen = append(c.seen, line); len(c.seen) > 200 {
			c.seen = c.seen[100:]
		}
		return line, ok
	case <-bound:
		return "", false
	}
}

// drain reads what is left.
func (c *terminal) drain() {
	for ok := true; ok; {
		_, ok = c.next(nil)
	}
}

// until waits for a line that begins so, and returns it.
func (c *terminal) until(prefix string) string {
	c.t.Helper()
	bound := time.After(patience)
	for {
		line, ok := c.next(bound)
		if !ok {
			c.t.Fatalf("%s shows no %q until its end or %v; it shows\n%s", c.name, prefix, patience, strings.Join(c.seen, "\n"))
		}
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
}

func (c *terminal) types(line string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.stdin, line); err != nil {
		c.t.Fatalf("%s: type %q: %v", c.name, line, err)
	}
}

// leaves is Ctrl-D.
func (c *terminal) leaves() {
	c.t.Helper()
	_ = c.stdin.Close()
	c.ends()
}

// ends waits for the end of a chat that was left.
func (c *terminal) ends() {
	c.t.Helper()
	if code := c.code(); code != exitOK {
		c.t.Errorf("%s ended with %d, want %d; it shows\n%s", c.name, code, exitOK, strings.Join(c.seen, "\n"))
	}
}

// Two terminals, as a new user would use them, in a network of their own: mDNS finds, nothing is
// configured but names.
func TestTwoTerminals(t *testing.T) {
	t.Parallel()
	if !netns.Inside(t) {
		return
	}
	dir := t.TempDir()
	twoTerminals(t, func(name string) *terminal { return process(t, dir, name) })
}

// The same without multicast: one is in the other's list.
func TestTwoTerminalsByList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	twoTerminals(t, func(name string) *terminal {
		own, others := filepath.Join(dir, name+".peers"), filepath.Join(dir, "Bob.peers")
		c := process(t, dir, name, "-mdns=false", "-peers", own, "-listen", "quic://127.0.0.1:0,tcp://127.0.0.1:0")
		list(t, c, own, others)
		return c
	})
}

// list makes a list for the other of what Ada shows of her addresses.
func list(t *testing.T, c *terminal, own, others string) {
	t.Helper()
	const text = "* for -peers of others: "
	addrs := strings.TrimPrefix(c.until(text), text)
	if own == others {
		return
	}
	lines := strings.ReplaceAll(addrs, " ", "\n") + "\n"
	if err := os.WriteFile(others, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
}

func twoTerminals(t *testing.T, start func(name string) *terminal) {
	t.Helper()
	ada := start("Ada")
	begin := time.Now()
	bob := start("Bob")
	bob.until("* Ada is here")
	ada.until("* Bob is here")
	t.Logf("they greet each other %v after the second was started", time.Since(begin).Round(time.Millisecond))

	bob.types("hello, Ada")
	ada.until("Bob: hello, Ada")
	ada.types("hello, Bob")
	bob.until("Ada: hello, Bob")

	begin = time.Now()
	bob.kill()
	lost := ada.until("* lost Bob: ")
	t.Logf("%v after kill -9, Ada shows %q", time.Since(begin).Round(time.Millisecond), lost)
	ada.types("anybody?")
	ada.until("* nobody is here")

	begin = time.Now()
	bob = start("Bob")
	ada.until("* Bob is back")
	t.Logf("he is back %v after he was started again", time.Since(begin).Round(time.Millisecond))
	bob.until("* Ada is here")

	// So fast that nobody has noticed.
	bob.kill()
	bob = start("Bob")
	ada.until("* Bob is back")

	begin = time.Now()
	_ = bob.stdin.Close() // Ctrl-D
	ada.until("* Bob left")
	t.Logf("Ada knows %v after he left", time.Since(begin).Round(time.Millisecond))
	bob.ends()
	ada.leaves()
}

// What is piped into a chat arrives, whole and in order, though it ends at once.
func TestPiped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, others := filepath.Join(dir, "Ada.peers"), filepath.Join(dir, "Bob.peers")
	args := []string{"-mdns=false", "-listen", "quic://127.0.0.1:0", "-silence", "30s", "-wait", "30s"}
	ada := within(t, dir, "Ada", append(args, "-peers", own)...)
	list(t, ada, own, others)
	bob := within(t, dir, "Bob", append(args, "-peers", others)...)
	const lines = 50
	go func() { // ends with what bob reads
		for i := range lines {
			_, _ = fmt.Fprintf(bob.stdin, "line %d\x1b[1m\n", i)
		}
		_ = bob.stdin.Close()
	}()
	bob.until("* Ada is here")
	for i := range lines {
		got := ada.until("Bob: ")
		if want := fmt.Sprintf("Bob: line %d\uFFFD[1m", i); got != want {
			t.Fatalf("Ada shows %q, want %q", got, want)
		}
	}
	ada.until("* Bob left")
	bob.ends()
	ada.leaves()
}

// Who has another key, or none, is not there.
func TestOtherKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, others := filepath.Join(dir, "Ada.peers"), filepath.Join(dir, "Bob.peers")
	args := []string{"-mdns=false", "-listen", "quic://127.0.0.1:0"}
	ada := within(t, dir, "Ada", append(args, "-peers", own, "-wait", "0s")...)
	list(t, ada, own, others)
	ada.until("* nobody is here yet")
	for name, more := range map[string][]string{"Eve": {"-network-key-file", filepath.Join(dir, "eve.key")}, "Mallory": {"-open"}} {
		c := within(t, dir, name, append(append(args, "-peers", others, "-wait", "1s"), more...)...)
		c.types("let me in")
		c.until("* nobody is here")
		c.leaves()
	}
	bob := within(t, dir, "Bob", append(args, "-peers", others)...)
	if got := ada.until("* "); got != "* Bob is here" {
		t.Errorf("Ada shows %q, want only that Bob is here", got)
	}
	bob.leaves()
	ada.leaves()
}
