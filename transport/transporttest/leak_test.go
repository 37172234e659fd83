package transporttest

import (
	"strings"
	"testing"

	"github.com/kith-go/kith/internal/leak"
)

func TestCheckLeftFindsGoroutine(t *testing.T) {
	before := leak.Take()
	until, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		leakHandler(until)
	}()
	r := &recorder{}
	checkLeft(r, before, mode{}, Setup{})
	if !strings.Contains(r.text, "leakHandler") {
		t.Errorf("checkLeft() reports %q, want the stack of leakHandler", r.text)
	}
	close(until)
	<-done
	if text, ok := before.Settle(0, nil); !ok {
		t.Errorf("Settle() after the goroutine ended leaves %s", text)
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
