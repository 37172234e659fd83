package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/transporttest"
)

// The test binary is also the child that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "child" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestUnixSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a path with a drive is no path of a transport.Addr")
	}
	transporttest.Run(t, func(t *testing.T) transporttest.Setup {
		dir, err := os.MkdirTemp("", "kith") // t.TempDir is too long for a socket on some systems
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		key := kith.NewKey()
		return transporttest.Setup{
			Dialer:   unixSockets(key),
			Listener: unixSockets(kith.NewKey()),
			DialerID: key.ID(),
			Addr:     transport.Addr{Scheme: "unix", Path: filepath.Join(dir, "s")},
		}
	})
}

// A child ends by itself, and well, when its parent hangs up.
func TestChild(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, err := startProcess(exec.Command(self, "child"))
	if err != nil {
		t.Fatal(err)
	}
	tr := newPipes(func(context.Context) (netconn.Pipe, error) { return child, nil })
	if err := call(t.Context(), tr, transport.Addr{Scheme: "child", Host: "greeter"}, "child"); err != nil {
		t.Errorf("call = %v, want nil", err)
	}
	if err := tr.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if err := child.Close(); err != nil {
		t.Errorf("the child ended with %v, want nil", err)
	}
}

func TestMainPrints(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a path with a drive is no path of a transport.Addr")
	}
	args, stdout := os.Args, os.Stdout
	defer func() { os.Args, os.Stdout = args, stdout }()
	os.Args = args[:1]
	var err error
	if os.Stdout, err = os.Create(filepath.Join(t.TempDir(), "out")); err != nil {
		t.Fatal(err)
	}
	defer func(f *os.File) { _ = f.Close() }(os.Stdout)
	main()
	out, err := os.ReadFile(os.Stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`^this is process %d
unix://\w{56}@/\S+/greeter
  "Hello, unix socket! This is process %[1]d\."
child://greeter
  "Hello, pipes! This is process (\d+)\."
$`, os.Getpid())
	m := regexp.MustCompile(want).FindSubmatch(out)
	if m == nil || string(m[1]) == fmt.Sprint(os.Getpid()) {
		t.Errorf("main prints %s\nwant a match of %s, and a child of another process", out, want)
	}
}

// TestDocument compares the Go blocks of docs/transports.md with the files that
// they are copied from.
func TestDocument(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "transports.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^(?:<!-- from: (\\S+) -->\n)?```go\n(.*?)^```$")
	blocks := block.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 3 {
		t.Errorf("docs/transports.md has %d Go blocks, want a few", len(blocks))
	}
	for _, m := range blocks {
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m[1])))
		if m[1] == "" || err != nil {
			t.Errorf("a block is from %q: %v", m[1], err)
		} else if !strings.Contains(string(source), m[2]) {
			t.Errorf("%s does not have the block\n%s", m[1], m[2])
		}
	}
}
