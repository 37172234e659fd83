package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asMain is the environment variable that makes the test binary the program.
const asMain = "FILESERVER_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// runCommand runs one command in this process.
func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// A running server is one in this process.
type running struct {
	t      *testing.T
	dir    string // what is served
	own    string // where keys and the client's files are
	addrs  []string
	cancel context.CancelFunc
	code   chan int
	log    *bytes.Buffer // may be read when code has given
}

// serve starts the command serve in this process, and lets in the key
// own/client.key.
func serve(t *testing.T, args ...string) *running {
	t.Helper()
	s := &running{t: t, dir: t.TempDir(), own: t.TempDir(), code: make(chan int, 1), log: new(bytes.Buffer)}
	code, id, errs := runCommand(t, "id", "-key", s.file("client.key"))
	if code != exitOK {
		t.Fatalf("id = %d, %s", code, errs)
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	out, in := io.Pipe()
	go func() {
		s.code <- run(ctx, append([]string{
			"serve", "-dir", s.dir, "-key", s.file("server.key"), "-allow", strings.TrimSpace(id),
			"-listen", "quic://127.0.0.1:0,tcp://127.0.0.1:0",
		}, args...), in, s.log)
		_ = in.Close()
	}()
	t.Cleanup(func() { _ = s.stop() })
	lines := bufio.NewScanner(out)
	for len(s.addrs) < 2 {
		if !lines.Scan() {
			t.Fatalf("serve = %d, %s", <-s.code, s.log)
		}
		s.addrs = append(s.addrs, lines.Text())
	}
	return s
}

// stop ends the server, and returns its exit code.
func (s *running) stop() int {
	s.cancel()
	code := <-s.code
	s.code <- code
	return code
}

func (s *running) file(name string) string { return filepath.Join(s.own, name) }

// client runs a command of a client over the n-th address.
func (s *running) client(n int, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return runCommand(s.t, append([]string{"-addr", s.addrs[n], "-key", s.file("client.key"), "-retry", "5s"}, args...)...)
}

// The commands, as somebody would use them, over both transports.
func TestCommands(t *testing.T) {
	s := serve(t)
	text := strings.Repeat("some text\n", 10_000)
	if err := os.WriteFile(s.file("text"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for n := range s.addrs {
		for _, tt := range []struct {
			args   []string
			stdout string // a regular expression for all of it
			stderr string
		}{
			{[]string{"put", s.file("text")}, `100000 [0-9a-f]{64}  text\n`, ``},
			{[]string{"put", "-progress", "lines", s.file("text"), "dir/other"}, `100000 [0-9a-f]{64}  dir/other\n`, `(?s)reading .*moving 100000 100000\n`},
			{[]string{"ls"}, ` +100000  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  dir/other\n +100000  .*  text\n`, ``},
			{[]string{"ls", "dir/"}, ` +100000  .*  dir/other\n`, ``},
			{[]string{"get", "-progress", "bar", "dir/other", s.file("got")}, `100000 [0-9a-f]{64}  dir/other\n`, `(?s).*\rget dir/other \[#+\] 100%  0.1 of 0.1 MB.*\n`},
			{[]string{"rm", "text", "dir/other"}, ``, ``},
			{[]string{"ls"}, ``, ``},
		} {
			code, out, errs := s.client(n, tt.args...)
			if code != exitOK || !matches(tt.stdout, out) || !matches(tt.stderr, errs) {
				t.Errorf("%s %q = %d\n%s\n%s\nwant 0\n%s\n%s", s.addrs[n][:4], tt.args, code, out, errs, tt.stdout, tt.stderr)
			}
		}
		if got, err := os.ReadFile(s.file("got")); string(got) != text || err != nil {
			t.Errorf("what was got has %d bytes, %v, want %d", len(got), err, len(text))
		}
		_ = os.Remove(s.file("got"))
	}
	if code := s.stop(); code != exitOK {
		t.Errorf("serve = %d, want 0\n%s", code, s.log)
	}
}

func matches(pattern, text string) bool {
	return regexp.MustCompile(`\A(` + pattern + `)\z`).MatchString(text)
}

// What goes wrong is said in one line, and by the exit code.
func TestFailures(t *testing.T) {
	s := serve(t)
	if err := os.WriteFile(s.file("text"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := strings.Replace(s.addrs[0], s.addrs[0][7:63], strings.TrimSpace(second(runCommand(t, "id", "-key", s.file("other.key")))), 1)
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"get", "none"}, exitFailed, `fileserver: no such file\n`},
		{[]string{"put", s.file("none")}, exitFailed, `fileserver: open .*none: .*\n`},
		{[]string{"put", s.file("text"), "dir"}, exitFailed, `fileserver: "dir" is not a regular file\n`},
		{[]string{"put", s.file("text"), "../text"}, exitUsage, `fileserver: put: the name is not a relative path .*\n`},
		{[]string{"get", ".partial/lock"}, exitUsage, `fileserver: get: .partial is the server's own .*\n`},
		{[]string{"rm", "none", "dir"}, exitFailed, `fileserver: rm none: no such file\nfileserver: rm dir: .*\n`},
		{[]string{"ls", ".."}, exitFailed, `fileserver: the name is not .*\n`},
		{[]string{"-key", s.file("new.key"), "ls"}, exitFailed, `fileserver: the server does not let this client in; .* -allow [a-z2-7]{56}\n`},
		{[]string{"-key", s.file("text"), "ls"}, exitFailed, `fileserver: load key: .*\n`},
		{[]string{"-addr", stranger, "ls"}, exitFailed, `fileserver: somebody else answers there: .*\n`},
		{[]string{"-addr", s.addrs[0][:7] + s.addrs[0][64:], "ls"}, exitUsage, `fileserver: -addr: .* has no ID.*\n`},
		{[]string{"-addr", "http://x", "ls"}, exitUsage, `fileserver: -addr: .* want quic:// or tcp://.*\n`},
		{[]string{"-addr", "", "ls"}, exitUsage, `fileserver: no -addr.*\n`},
		{
			[]string{"-addr", strings.Replace(s.addrs[1], "127.0.0.1", "127.0.0.2", 1), "-retry", "1ns", "put", s.file("text")},
			exitFailed,
			`(?s)(fileserver: trying again: .*\n)?fileserver: gave up after .* no connection: .*\n`,
		},
	} {
		if code, out, errs := s.client(0, tt.args...); code != tt.code || out != "" || !matches(tt.stderr, errs) {
			t.Errorf("%q = %d\n%s\n%s\nwant %d\n%s", tt.args, code, out, errs, tt.code, tt.stderr)
		}
	}
}

func second(_ int, s, _ string) string { return s }

// Mistakes in the command line are told apart from failures.
func TestUsage(t *testing.T) {
	dir, own := t.TempDir(), t.TempDir()
	id := strings.TrimSpace(second(runCommand(t, "id", "-key", filepath.Join(own, "key"))))
	ids := filepath.Join(own, "ids")
	if err := os.WriteFile(ids, []byte("# nobody\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(dir, "key")
	for _, tt := range []struct {
		args   []string
		stderr string
	}{
		{nil, `no command`},
		{[]string{"nonsense"}, `no command "nonsense"`},
		{[]string{"-nonsense"}, `flag provided but not defined`},
		{[]string{"put"}, `put: too few arguments`},
		{[]string{"put", "a", "b", "-progress"}, `put: too many arguments: .*flags come before them`},
		{[]string{"put", "-progress", "loud", "a"}, `-progress "loud"`},
		{[]string{"put", "-limit", "fast", "a"}, `want a number of bytes`},
		{[]string{"ls", "-addr", "tcp://" + id + "@localhost:1", "-silence", "1s"}, `-silence: want at least 2s`},
		{[]string{"ls", "-progress", "bar"}, `flag provided but not defined`},
		{[]string{"serve"}, `no -dir`},
		{[]string{"serve", "-dir", ids}, `is not a directory`},
		{[]string{"serve", "-dir", dir}, `nobody is let in`},
		{[]string{"serve", "-dir", dir, "-allow", ids}, `nobody is let in`},
		{[]string{"serve", "-dir", dir, "-allow", id + ",x"}, `"x": parse id`},
		{[]string{"serve", "-dir", dir, "-allow", "x"}, `neither an ID nor a file`},
		{[]string{"serve", "-dir", dir, "-allow", id, "-listen", "unix:///x"}, `want quic:// or tcp://`},
		{[]string{"serve", "-dir", dir, "-allow", id, "-key", inside}, `is in the directory that is served`},
		{[]string{"serve", "-dir", filepath.Join(own, "..", filepath.Base(dir)), "-allow", id, "-key", inside}, `is in the directory that is served`},
	} {
		if code, out, errs := runCommand(t, tt.args...); code != exitUsage || out != "" || !matches(`fileserver: .*`+tt.stderr+`.*\n`, errs) {
			t.Errorf("%q = %d\n%s\n%s\nwant 2\n%s", tt.args, code, out, errs, tt.stderr)
		}
	}
	for _, args := range [][]string{{"-h"}, {"--help"}, {"serve", "-h"}, {"put", "-h"}} {
		code, out, errs := runCommand(t, args...)
		if code != exitOK || !strings.HasPrefix(out, "usage: fileserver COMMAND") || errs != "" {
			t.Errorf("%q = %d\n%s\n%s\nwant 0 and the usage", args, code, out, errs)
		}
	}
	if _, err := os.Stat(inside); err == nil {
		t.Error("a key was made in the directory that is served")
	}
}

// Every flag is in the help, and nothing else is.
func TestHelpNamesAllFlags(t *testing.T) {
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+) `).FindAllStringSubmatch(help, -1) {
		documented[m[1]] = true
	}
	for _, c := range commands {
		if !regexp.MustCompile(`(?m)^  ` + c.name + `\b`).MatchString(help) {
			t.Errorf("the help has no command %s", c.name)
		}
		for _, name := range flagNames(c) {
			if !documented[name] {
				t.Errorf("the help has no flag -%s of %s", name, c.name)
			}
		}
	}
	all := map[string]bool{}
	for _, c := range commands {
		for _, name := range flagNames(c) {
			all[name] = true
		}
	}
	for name := range documented {
		if !all[name] {
			t.Errorf("the help has a flag -%s, which there is not", name)
		}
	}
}

// A second server for a directory is refused, until the first has ended.
func TestOneServer(t *testing.T) {
	s := serve(t)
	id := strings.TrimSpace(second(runCommand(t, "id", "-key", s.file("client.key"))))
	args := []string{"serve", "-dir", s.dir, "-key", s.file("server.key"), "-allow", id, "-listen", "tcp://127.0.0.1:0"}
	if code, _, errs := runCommand(t, args...); code != exitFailed || !strings.Contains(errs, "in use by another process") {
		t.Errorf("a second serve = %d, %s, want 1: in use", code, errs)
	}
}

// Watch says what happens, and ends well when it is interrupted.
func TestWatchCommand(t *testing.T) {
	s := serve(t, "-rescan", "-1s")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, in := io.Pipe()
	code := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		code <- run(ctx, []string{"watch", "-addr", s.addrs[1], "-key", s.file("client.key"), "-snapshot"}, in, &errs)
		_ = in.Close()
	}()
	lines := bufio.NewScanner(out)
	want := func(pattern string) {
		t.Helper()
		if !lines.Scan() || !matches(pattern, lines.Text()) {
			t.Errorf("watch says %q, want %q", lines.Text(), pattern)
		}
	}
	want("ready")
	if err := os.WriteFile(s.file("text"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"put", s.file("text"), "a"}, {"rm", "a"}} {
		if code, _, errs := s.client(0, args...); code != exitOK {
			t.Fatalf("%q = %d, %s", args, code, errs)
		}
		want(map[string]string{"put": `added +4  a`, "rm": `removed +4  a`}[args[0]])
	}
	cancel()
	if lines.Scan() || <-code != exitOK || errs.Len() > 0 {
		t.Errorf("watch ends with %q and %s, want code 0 and nothing more", lines.Text(), &errs)
	}
}

func flagNames(c command) []string {
	var names []string
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.flags(new(options), fs)
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	return names
}
