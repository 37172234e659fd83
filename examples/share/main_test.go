package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith/transport/admit"
)

// asMain is the environment variable that makes the test binary the program.
const asMain = "SHARE_TEST_AS_MAIN"

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

// What goes wrong is said in one line, and by the exit code.
func TestFailures(t *testing.T) {
	dir, own := t.TempDir(), t.TempDir()
	key, peers, file := filepath.Join(own, "lan.key"), filepath.Join(own, "peers"), filepath.Join(own, "file")
	if err := admit.NewNetworkKey().Save(key); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{peers: "# nobody\n", file: "text\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const hash = "d586fa5ea6d19bd5e826d26cef5ed0141f249c56ef4a1b8109ebe493596a082e"
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string // a regular expression for all of it
	}{
		{nil, exitUsage, `share: no command .*\n`},
		{[]string{"put"}, exitUsage, `share: no command "put" .*\n`},
		{[]string{"-x"}, exitUsage, `share: flags: .*-x .*\n`},
		{[]string{"ls", "-x"}, exitUsage, `share: ls: .*-x .*\n`},
		{[]string{"ls", "x"}, exitUsage, `share: ls: too many arguments: \["x"\] .*\n`},
		{[]string{"get"}, exitUsage, `share: get: too few arguments .*\n`},
		{[]string{"get", "12"}, exitUsage, `share: get: want a hash of 64 hexadecimal digits .*\n`},
		{[]string{"get", "-limit", "1k", hash}, exitUsage, `share: get: -limit: at least 64k .*\n`},
		{[]string{"get", "-limit", "-1", hash}, exitUsage, `share: get: .*\n`},
		{[]string{"get", "-progress", "loud", hash}, exitUsage, `share: -progress "loud": .*\n`},
		{[]string{"ls", "-network-key-file", own + "/none"}, exitUsage, `share: no network key .*none: copy it .*\n`},
		{[]string{"ls", "-network-key-file", file}, exitFailed, `share: load network key: .*\n`},
		{[]string{"-peers", own + "/none", "ls", "-open"}, exitUsage, `share: -peers: .*\n`},
		{[]string{"serve", own + "/none"}, exitUsage, `share: serve: .* is not a directory .*\n`},
		{[]string{"serve", "-network-key-file", dir + "/lan.key", dir}, exitUsage, `share: serve: .*lan.key would be offered .*\n`},
		{[]string{"serve", "-open", "-key-file", dir + "/a.key", dir}, exitUsage, `share: serve: .*a.key would be offered .*\n`},
		{[]string{"serve", "-open", "-listen", "x", "-peers", peers, dir}, exitFailed, `(offering 0 files, 0.0 MB\n)?share: join: .*\n`},
		{[]string{"ls", "-network-key-file", key, "-peers", peers, "-wait", "1ms"}, exitFailed, `share: no node was found: .*\n`},
		{[]string{"get", "-open", "-peers", peers, "-patience", "1ms", hash}, exitFailed, `share: nobody offers it: .*\n`},
	} {
		code, out, errs := runCommand(t, tt.args...)
		if code != tt.code || out != "" || !regexp.MustCompile(`\A(`+tt.stderr+`)\z`).MatchString(errs) {
			t.Errorf("%q = %d\n%s\n%s\nwant %d\n%s", tt.args, code, out, errs, tt.code, tt.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "lan.key")); err == nil {
		t.Error("a key was made that was refused")
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"ls", "-h"}, {"serve", "--help"}} {
		if code, out, errs := runCommand(t, args...); code != exitOK || out != help || errs != "" {
			t.Errorf("%q = %d, %q, %q, want 0 and the help", args, code, out, errs)
		}
	}
}

// A name from outside goes nowhere but into this directory.
func TestTarget(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "films/a b.iso": "a b.iso", "": "", "..": "", "a/..": "", ".profile": "", "a/.b": ""} {
		got, err := (&options{}).target(fileNamed(name))
		if got.Path != want || got.Replace || (err == nil) != (want != "") {
			t.Errorf("target(%q) = %+v, %v, want %q", name, got, err, want)
		}
	}
	if got, err := (&options{out: "/x/y"}).target(fileNamed("a")); got.Path != "/x/y" || !got.Replace || err != nil {
		t.Errorf("target with -o = %+v, %v", got, err)
	}
}
