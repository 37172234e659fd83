package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kith-go/kith/examples/share/shareapi"
	"github.com/kith-go/kith/transport/admit"
)

func fileNamed(name string) shareapi.File { return shareapi.File{Name: name} }

// A process is the program, running as one of its own.
type process struct {
	cmd   *exec.Cmd
	lines chan string // what it writes, line by line; closed at the end of that
}

// start runs the program. Somebody must read its lines, and then wait for it.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(binary, args...), lines: make(chan string)}
	p.cmd.Env = append(os.Environ(), asMain+"=1")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	err = p.cmd.Start()
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	go p.readLoop(out)
	return p
}

// readLoop reads what the process writes. It ends when the process has.
func (p *process) readLoop(out *os.File) {
	defer func() { _ = out.Close() }()
	defer close(p.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		p.lines <- s.Text()
	}
}

// wait drops the lines still to come, and returns the exit code, -1 if it was
// killed.
func (p *process) wait() int {
	for range p.lines {
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// kill is kill -9.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// A lan is nodes on this host, each a process that offers the same file, and a list of
// their addresses. It goes by a list since multicast is not everywhere.
type lan struct {
	t     *testing.T
	own   string // where the key, the list, and what is fetched are
	data  []byte
	hash  string
	nodes []*process
	drain sync.WaitGroup
}

func newLAN(t *testing.T, nodes, size int) *lan {
	t.Helper()
	l := &lan{t: t, own: t.TempDir(), data: make([]byte, size)}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(l.data) // never fails
	o, err := shareapi.Read(t.Context(), bytes.NewReader(l.data), int64(size))
	if err == nil {
		err = admit.NewNetworkKey().Save(l.path("lan.key"))
	}
	if err != nil {
		t.Fatal(err)
	}
	l.hash = o.Hash().String()
	var list strings.Builder
	for i := range nodes {
		fmt.Fprintln(&list, l.serve(fmt.Sprintf("node%d", i)))
	}
	if err := os.WriteFile(l.path("peers"), []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range l.nodes {
			n.kill()
		}
		l.drain.Wait()
	})
	return l
}

func (l *lan) path(name string) string { return filepath.Join(l.own, name) }

// serve starts a node, and returns its address when its file is offered.
func (l *lan) serve(name string) string {
	l.t.Helper()
	dir := l.t.TempDir()
	path := filepath.Join(dir, "of "+name)
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(path, l.data, 0o666), os.Chtimes(path, old, old)); err != nil {
		l.t.Fatal(err)
	}
	p := start(l.t, "serve", "-network-key-file", l.path("lan.key"), "-peers", os.DevNull, "-name", name, "-listen", "quic://127.0.0.1:0", dir)
	l.nodes = append(l.nodes, p)
	addr, offered, last := "", false, ""
	for line := range p.lines {
		last = line
		if strings.HasPrefix(line, "quic://") {
			addr = line
		}
		offered = offered || strings.HasPrefix(line, "offering 1 files")
		if addr != "" && offered {
			l.drain.Go(func() { p.wait() })
			return addr
		}
	}
	p.wait()
	l.t.Fatalf("%s does not start: %s", name, last)
	return ""
}

// command starts a command of this network.
func (l *lan) command(args ...string) *process {
	l.t.Helper()
	return start(l.t, append([]string{"-network-key-file", l.path("lan.key"), "-peers", l.path("peers")}, args...)...)
}

// get fetches the file, and calls each with what has come and who was asked. It returns
// all lines.
func (l *lan) get(each func(p *process, have int64, asked []*process)) (code int, lines []string) {
	l.t.Helper()
	p := l.command("get", "-o", l.path("got"), "-progress", "lines", "-limit", "4M", "-patience", "2m", l.hash)
	var asked []*process
	for line := range p.lines {
		lines = append(lines, line)
		if i := 0; strings.HasPrefix(line, "asking ") {
			if _, err := fmt.Sscanf(line, "asking node%d", &i); err != nil || i >= len(l.nodes) {
				l.t.Errorf("get says %q, want one of %d nodes", line, len(l.nodes))
				continue
			}
			asked = append(asked, l.nodes[i])
		}
		var have, size int64
		if n, _ := fmt.Sscanf(line, "moving %d %d", &have, &size); n == 2 {
			if _, err := os.Lstat(l.path("got")); !errors.Is(err, fs.ErrNotExist) && have < size {
				l.t.Errorf("at %d bytes there is a file: %v, want %v", have, err, fs.ErrNotExist)
			}
			each(p, have, asked)
		}
	}
	return p.wait(), lines
}

// check fails unless the file has come, and nothing is left over.
func (l *lan) check(code int, lines []string) {
	l.t.Helper()
	got, err := os.ReadFile(l.path("got"))
	if code != exitOK || err != nil || !bytes.Equal(got, l.data) {
		l.t.Errorf("get = %d, %d bytes, %v, want 0, %d\n%s", code, len(got), err, len(l.data), strings.Join(lines, "\n"))
	}
	if left, err := filepath.Glob(l.path(".*")); len(left) > 0 || err != nil {
		l.t.Errorf("left over are %v, %v, want nothing", left, err)
	}
	for _, line := range lines {
		if strings.Contains(line, " MB ") {
			l.t.Log(line)
		}
	}
}

const testSize = 16<<20 + 12345

// Three nodes offer a file; one is killed in mid-transfer, then another.
func TestNodesKilled(t *testing.T) {
	l := newLAN(t, 3, testSize)
	ls := l.command("ls", "-nodes", "3", "-wait", "1m")
	var list []string
	for line := range ls.lines {
		list = append(list, line)
	}
	want := fmt.Sprintf("%s  %12d  3  of node0", l.hash, testSize)
	if code := ls.wait(); code != exitOK || strings.Join(list, "\n") != want {
		t.Fatalf("ls = %d\n%s\nwant 0\n%s", code, strings.Join(list, "\n"), want)
	}
	var killed []*process
	code, lines := l.get(func(_ *process, have int64, asked []*process) {
		if len(killed) == 2 || have < int64(len(killed)+1)*testSize/4 {
			return
		}
		for _, n := range asked {
			if !slices.Contains(killed, n) { // there is one, or who sent the last quarter?
				n.kill()
				killed = append(killed, n)
				return
			}
		}
	})
	l.check(code, lines)
	if len(killed) == 0 {
		t.Error("no node was killed")
	}
	t.Logf("%d nodes were killed", len(killed))
}

// A get that is killed goes on when it is run again.
func TestGetKilled(t *testing.T) {
	l := newLAN(t, 1, testSize)
	code, lines := l.get(func(p *process, have int64, _ []*process) {
		if have > testSize/3 {
			p.kill()
		}
	})
	if code == exitOK {
		t.Fatalf("get that is killed = %d\n%s", code, strings.Join(lines, "\n"))
	}
	code, lines = l.get(func(*process, int64, []*process) {})
	l.check(code, lines)
	if all := strings.Join(lines, "\n"); !strings.Contains(all, "MB were here") {
		t.Errorf("get = %s\nwant some to have been here", all)
	}
}

// SIGTERM ends a node at once, with code 0.
func TestSigterm(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM on Windows")
	}
	l := newLAN(t, 1, 1)
	if err := l.nodes[0].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	l.drain.Wait()
	if code := l.nodes[0].cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("serve after SIGTERM = %d, want 0", code)
	}
}
