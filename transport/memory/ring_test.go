package memory

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRing compares a ring with a slice.
func TestRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var r ring
		var want []byte
		for range 50 {
			if rng.IntN(2) == 0 {
				p := make([]byte, rng.IntN(1<<rng.IntN(12)))
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
				r.write(p)
				want = append(want, p...)
				clear(p)
			} else {
				p := make([]byte, rng.IntN(1<<rng.IntN(12)))
				n := r.read(p)
				if n != min(len(p), len(want)) || !bytes.Equal(p[:n], want[:n]) {
					t.Fatalf("read(%d bytes) = %d, %x, want %x", len(p), n, p[:n], want)
				}
				want = want[n:]
			}
			if r.len != len(want) || (r.b == nil) != (r.len == 0) {
				t.Fatalf("a ring of %d bytes has len %d and block %v", len(want), r.len, r.b != nil)
			}
		}
		r.discard(r.len)
		if r.b != nil {
			t.Fatalf("an empty ring holds %d bytes", len(r.b.data))
		}
	}
}
