package server_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// roleVariable names what a process made of this test binary is to do.
const roleVariable = "KITH_TEST_ROLE"

// roles are what children can be. Each reads its orders from standard input,
// a line each, and ends when there are no more; it answers on standard output.
var roles = map[string]func(orders *bufio.Scanner, args []string) error{}

// role adds one; it is for package variables.
func role(name string, do func(orders *bufio.Scanner, args []string) error) string {
	roles[name] = do
	return name
}

// A child plays its role instead of running tests.
func init() {
	name := os.Getenv(roleVariable)
	if name == "" {
		return
	}
	err := fmt.Errorf("no role %q", name)
	if do := roles[name]; do != nil {
		err = do(bufio.NewScanner(os.Stdin), os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// say is how a child answers.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// A child is a process that plays a role. It ends with the test.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// patience is a generous bound that tells what takes its time from what hangs.
const patience = time.Minute

func startChild(t *testing.T, role string, args ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// order sends a line.
func (c *child) order(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatalf("order(%q) = %v", line, err)
	}
}

// expect reads lines up to one that begins with word, and returns the rest
// of it.
func (c *child) expect(word string) string {
	c.t.Helper()
	watchdog := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer watchdog.Stop()
	for c.out.Scan() {
		if rest, ok := strings.CutPrefix(c.out.Text(), word); ok {
			return strings.TrimSpace(rest)
		}
	}
	c.t.Fatalf("the child ended, or said nothing for %v, want %q", patience, word)
	return ""
}

// kill ends the process as nothing else does, and waits for that.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}
