package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// A process is the program, running as one of its own.
type process struct {
	cmd   *exec.Cmd
	lines chan string // what it writes, line by line; closed at the end of that
}

// start runs the program. Somebody must read its lines, and then wait for it.
func start(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	return startAs(t, nil, binary, args...)
}

func startAs(t *testing.T, as *syscall.SysProcAttr, binary string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), lines: make(chan string)}
	p.cmd.SysProcAttr = as
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
func (p *process) readLoop(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	defer close(p.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		p.lines <- s.Text()
	}
}

// wait drops the lines still to come, and returns the exit code, -1 if it was
// killed, and the last line.
func (p *process) wait() (code int, last string) {
	for line := range p.lines {
		last = line
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode(), last
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_, _ = p.wait()
}

// A daemon is a server in a process of its own, started again after each kill,
// at the same address.
type daemon struct {
	t      *testing.T
	binary string
	as     *syscall.SysProcAttr
	args   []string // all but -listen
	listen string
	addr   string
	proc   *process
	drain  sync.WaitGroup
}

// start starts the server and waits for the line that says that it listens.
// The port can be taken for a moment by somebody who got it by chance.
func (d *daemon) start() {
	d.t.Helper()
	last := ""
	for range 10 {
		d.proc = startAs(d.t, d.as, d.binary, append(d.args, "-listen", d.listen)...)
		for line := range d.proc.lines {
			if last = line; !strings.Contains(line, "://") || strings.Contains(line, " ") {
				continue
			}
			d.addr = line
			scheme, host, _ := strings.Cut(line, "://")
			d.listen = scheme + "://" + host[strings.Index(host, "@")+1:]
			d.drain.Go(func() {
				for range d.proc.lines {
				}
			})
			return
		}
		_, _ = d.proc.wait()
	}
	d.t.Fatalf("the server does not start: %s", last)
}

func (d *daemon) kill() {
	d.proc.kill()
	d.drain.Wait()
}

// self returns the path of this binary.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// SIGTERM ends a server that has nothing to do at once, with code 0.
func TestSigterm(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM on Windows")
	}
	s := serve(t) // for its keys
	if code := s.stop(); code != exitOK {
		t.Fatalf("serve = %d, want 0", code)
	}
	d := &daemon{t: t, binary: self(t), listen: "tcp://127.0.0.1:0", args: []string{
		"serve", "-dir", s.dir, "-key", s.file("server.key"), "-allow", clientID(t, s.file("client.key")),
	}}
	d.start()
	if err := d.proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.drain.Wait()
	if code, _ := d.proc.wait(); code != exitOK {
		t.Errorf("serve after SIGTERM = %d, want 0", code)
	}
}

func clientID(t *testing.T, key string) string {
	t.Helper()
	return strings.TrimSpace(second(runCommand(t, "id", "-key", key)))
}

// A directory that the server may not write to is served to readers, and
// writers are told, also if the server could keep what is on its way. As root,
// the server runs as nobody, who has no rights there.
func TestReadOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing of that on Windows")
	}
	for _, partial := range []bool{false, true} {
		t.Run(map[bool]string{false: "all", true: "all but .partial"}[partial], func(t *testing.T) { testReadOnly(t, partial) })
	}
}

func testReadOnly(t *testing.T, partial bool) {
	base, err := os.MkdirTemp("", "fileserver") // t.TempDir is where nobody may enter
	if err != nil {
		t.Fatal(err)
	}
	dir, own, binary := filepath.Join(base, "files"), filepath.Join(base, "own"), filepath.Join(base, "fileserver")
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o755)
		_ = os.RemoveAll(base)
	})
	mkdir := func(path string) {
		t.Helper()
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkdir(dir)
	mkdir(own)
	writable := []string{own}
	if partial {
		mkdir(filepath.Join(dir, fileapi.TempDir))
		writable = append(writable, filepath.Join(dir, fileapi.TempDir))
	}
	copyFile(t, self(t), binary)
	key, text := filepath.Join(base, "client.key"), filepath.Join(base, "text")
	id := clientID(t, key)
	for path, body := range map[string]string{text: "text", filepath.Join(dir, "there"): "other text"} {
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := &daemon{t: t, binary: binary, listen: "tcp://127.0.0.1:0", args: []string{
		"serve", "-dir", dir, "-key", filepath.Join(own, "server.key"), "-allow", id,
	}}
	if os.Getuid() == 0 {
		d.as = asNobody(t, writable...)
	}
	if err := errors.Join(os.Chmod(dir, 0o555), os.Chmod(base, 0o755)); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(d.kill)
	client := []string{"-addr", d.addr, "-key", key}
	const want = "the server's directory is read-only\n"
	for _, args := range [][]string{{"put", text, "new"}, {"put", text, "there"}, {"put", text, "dir/new"}, {"rm", "there"}} {
		if code, _, errs := runCommand(t, append(client, args...)...); code != exitFailed || !strings.HasSuffix(errs, want) {
			t.Errorf("%q = %d, %q, want 1, %q", args, code, errs, want)
		}
	}
	got := filepath.Join(base, "got")
	if code, _, errs := runCommand(t, append(client, "get", "there", got)...); code != exitOK {
		t.Errorf("get = %d, %q, want 0", code, errs)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
