package leak_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/kith-go/kith/internal/leak"
)

func TestGoroutine(t *testing.T) {
	before := leak.Take()
	if text, n := before.Left(nil); n != 0 {
		t.Fatalf("Left() = %d things, want 0:\n%s", n, text)
	}
	started, until, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go waitHandler(started, until, done)
	<-started
	if text, n := before.Left(nil); n != 1 || !strings.Contains(text, "waitHandler") {
		t.Errorf("Left() = %d things, want the stack of waitHandler:\n%s", n, text)
	}
	if text := before.Describe(); !strings.Contains(text, "waitHandler") {
		t.Errorf("Describe() = %q, want the stack of waitHandler", text)
	}
	if text, n := before.Left([]string{"leak_test.waitHandler"}); n != 0 {
		t.Errorf("Left() = %d things with the only one excused, want 0:\n%s", n, text)
	}
	close(until)
	<-done
	if text, ok := before.Settle(0, nil); !ok {
		t.Errorf("Settle() after the goroutine ended leaves %s", text)
	}
}

// waitHandler ends when until is closed; its test waits for done.
func waitHandler(started chan<- struct{}, until <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	close(started)
	<-until
}

func TestSocket(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("this system does not show its descriptors")
	}
	before := leak.Take()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if text, n := before.Left(nil); n != 1 || !strings.Contains(text, "socket:") {
		t.Errorf("Left() = %q, %d, want one socket", text, n)
	}
	l.Close()
	if text, n := before.Left(nil); n != 0 {
		t.Errorf("Left() after Close = %q, %d, want 0", text, n)
	}
}

func TestCut(t *testing.T) {
	if got := leak.Cut("short"); got != "short" {
		t.Errorf("Cut(%q) = %q, want it unchanged", "short", got)
	}
	long := strings.Repeat("x", 100<<10)
	if got := leak.Cut(long); len(got) > 40<<10 || !strings.HasSuffix(got, "bytes more") {
		t.Errorf("Cut(100 KiB) = %d bytes, want at most 40 KiB that say how much is missing", len(got))
	}
}
