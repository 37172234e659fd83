package main

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/kith-go/kith/internal/netns"
)

// asMain is the environment variable that makes the test binary the program.
const asMain = "HELLO_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// hello starts the program as a process of its own in a directory.
func hello(t *testing.T, dir, name string) (cmd *exec.Cmd, out *bufio.Reader) {
	t.Helper()
	cmd = exec.Command(os.Args[0], name)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }) // it hangs: what waits for it sees its end
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, bufio.NewReader(stdout)
}

func line(t *testing.T, who string, out *bufio.Reader, want string) {
	t.Helper()
	got, err := out.ReadString('\n')
	if err != nil || got != want+"\n" {
		t.Fatalf("%s prints %q, %v, want %q", who, got, err, want)
	}
}

// The README's program, run twice: the two find each other by mDNS in a network of their own, greet
// each other, and leave.
func TestTwoNodes(t *testing.T) {
	if !netns.Inside(t) {
		return
	}
	upLAN(t)
	dir := t.TempDir()
	none, out := hello(t, dir, "\x1b[2J") // refused, but it makes the key
	if text, err := io.ReadAll(out); err != nil || len(text) > 0 {
		t.Errorf("hello with a bad name prints %q, %v, want nothing", text, err)
	}
	if err := none.Wait(); none.ProcessState.ExitCode() != 1 {
		t.Errorf("hello with a bad name ended with %v, want 1", err)
	}
	ada, adas := hello(t, dir, "Ada")
	begin := time.Now()
	bob, bobs := hello(t, dir, "Bob")
	line(t, "Bob", bobs, `"Ada greets Bob"`)
	line(t, "Ada", adas, `"Bob greets Ada"`)
	t.Logf("they greet each other %v after the second was started", time.Since(begin).Round(time.Millisecond))
	for _, cmd := range []*exec.Cmd{bob, ada} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	for name, out := range map[string]*bufio.Reader{"Bob": bobs, "Ada": adas} {
		if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
			t.Errorf("%s prints %q, %v at its end, want nothing", name, rest, err)
		}
	}
	for _, cmd := range []*exec.Cmd{bob, ada} {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v, want nil", cmd.Args[1], err)
		}
	}
}

// The README calls it a program of 20 lines.
func TestLength(t *testing.T) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Name.Name == "main" {
			if n := fset.Position(d.End()).Line - fset.Position(d.Pos()).Line + 1; n > 20 {
				t.Errorf("main has %d lines, want at most 20", n)
			}
		}
	}
}
