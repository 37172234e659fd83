package transporttest

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestInventoryFindsGoroutine(t *testing.T) {
	before := takeInventory()
	if text, n := before.left(nil); n != 0 {
		t.Fatalf("left() = %d things, want 0:\n%s", n, text)
	}
	until, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		leakHandler(until)
	}()
	r := &recorder{}
	before.check(r, mode{}, Setup{})
	if !strings.Contains(r.text, "leakHandler") {
		t.Errorf("check() reports %q, want the stack of leakHandler", r.text)
	}
	if text, n := before.left([]string{"transporttest.leakHandler"}); n != 0 {
		t.Errorf("left() = %d things with the only one excused, want 0:\n%s", n, text)
	}
	close(until)
	<-done
	if text, ok := before.settle(0, nil); !ok {
		t.Errorf("settle() after the goroutine ended leaves %s", text)
	}
}

func TestInventoryFindsSocket(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("this system does not show its descriptors")
	}
	before := takeInventory()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if text, n := before.left(nil); n != 1 || !strings.Contains(text, "socket:") {
		t.Errorf("left() = %q, %d, want one socket", text, n)
	}
	l.Close()
	if text, n := before.left(nil); n != 0 {
		t.Errorf("left() after Close = %q, %d, want 0", text, n)
	}
}

func TestPattern(t *testing.T) {
	p := pattern(3)
	whole := p.bytes(5000)
	for off := range 20 {
		part := make([]byte, 3000)
		p.fill(part, int64(off))
		if string(part) != string(whole[off:off+3000]) {
			t.Fatalf("fill(%d) does not continue fill(0)", off)
		}
		if at := p.wrong(part, int64(off)); at != -1 {
			t.Errorf("wrong(what fill wrote) = %d, want -1", at)
		}
		part[2000] ^= 1
		if at := p.wrong(part, int64(off)); at != int64(off)+2000 {
			t.Errorf("wrong(byte 2000 changed) = %d, want %d", at, off+2000)
		}
		if at := pattern(4).wrong(whole, 0); at < 0 || at > 3 {
			t.Errorf("wrong(another pattern) = %d, want one of the first offsets", at)
		}
		if at := p.wrong(whole[1:], 0); at < 0 || at > 3 {
			t.Errorf("wrong(one byte lost) = %d, want one of the first offsets", at)
		}
	}
}
