package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// asMain is the environment variable that makes the test binary the program.
const asMain = "CHAT_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// What is wrong with the command line is said in one line.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"-h"}, exitOK, `(?s)usage: chat -name NAME.*Exit codes.*`, ``},
		{nil, exitUsage, ``, `chat: -name is missing .*`},
		{[]string{"-name", "a\x1b[2J"}, exitUsage, ``, `chat: -name .*can be printed .*`},
		{[]string{"-name", strings.Repeat("a", 65)}, exitUsage, ``, `chat: -name .*at most 64 bytes .*`},
		{[]string{"-name", "a", "b"}, exitUsage, ``, `chat: unexpected "b" .*`},
		{[]string{"-name", "a", "-mdns=false"}, exitUsage, ``, `chat: -mdns=false without -peers.*`},
		{[]string{"-name", "a", "-silence", "1ms"}, exitUsage, ``, `chat: -silence: at least 1s .*`},
		{[]string{"-none"}, exitUsage, ``, `chat: .*not defined: -none .*`},
		{[]string{"-name", "a", "-network-key-file", "."}, exitFailed, ``, `chat: load network key: .*`},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, strings.NewReader(""), &stdout, &stderr)
		if code != tt.code || !whole(tt.stdout, stdout.String()) || !whole(tt.stderr, stderr.String()) {
			t.Errorf("chat %q = %d, %q, %q, want %d, %q, %q", tt.args, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
		}
	}
}

// whole reports whether text is what pattern says, but for white space at its end.
func whole(pattern, text string) bool {
	return regexp.MustCompile(`^` + pattern + `\s*$`).MatchString(text)
}

// What others send cannot move the cursor, turn the writing, or fake a line.
func TestClean(t *testing.T) {
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"Zoë, 東京 ☕", 100, "Zoë, 東京 ☕"},
		{"a\tb", 10, "a b"},
		{"\x1b[2Jx", 10, "\uFFFD[2Jx"},
		{"x\nAda: y\r\x00", 100, "x\uFFFDAda: y\uFFFD\uFFFD"},
		{"a\u202eb\u200bc\u2028", 100, "a\uFFFDb\uFFFDc\uFFFD"},
		{"\xff", 10, "\uFFFD"},
		{"12345", 3, "123"},
		{"12ë", 3, "12"},
		{"ë", 0, ""},
	} {
		if got := clean(tt.text, tt.limit); got != tt.want {
			t.Errorf("clean(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
		}
	}
}

// All who make the key at once have the same.
func TestNetworkKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lan.key")
	var group sync.WaitGroup
	prints := make([]string, 16)
	for i := range prints {
		group.Go(func() {
			key, _, err := networkKey(path)
			if err != nil {
				t.Errorf("networkKey = %v", err)
				return
			}
			prints[i] = key.String()
		})
	}
	group.Wait()
	for _, p := range prints {
		if p != prints[0] {
			t.Fatalf("networkKey gave %q, want one key", prints)
		}
	}
	if key, made, err := networkKey(path); err != nil || made || key.String() != prints[0] {
		t.Errorf("networkKey = %v, %t, %v, want %s, false", key, made, err, prints[0])
	}
	left, err := filepath.Glob(path + ".*")
	if err != nil || len(left) > 0 {
		t.Errorf("files left: %q, %v", left, err)
	}
}

// A line of any length is read, in pieces.
func TestTypeLoop(t *testing.T) {
	long := strings.Repeat("x", 3*maxText+1)
	typed := make(chan string)
	go typeLoop(t.Context(), io.MultiReader(strings.NewReader("a\r\n\n"), strings.NewReader(long)), typed)
	var got []string
	for line := range typed {
		got = append(got, line)
	}
	if len(got) != 6 || got[0] != "a" || got[1] != "" || strings.Join(got[2:], "") != long {
		t.Errorf("typeLoop gave %d lines, %.40q, want a, an empty one, and the long one in 4", len(got), got)
	}
}
