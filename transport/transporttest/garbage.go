package transporttest

import (
	"bytes"
	"math/rand/v2"

	"github.com/kith-go/kith/transport"
)

var garbageCases = []testCase{
	{"HoldsNobodyUp", garbageHoldsNobodyUp},
	{"SilenceHoldsNobodyUp", silenceHoldsNobodyUp},
}

const holdsNobodyUp = "A set-up that fails or hangs is not reported here and holds nobody else up."

// garbage is what strangers send: other protocols, beginnings of the right
// ones, lengths that are not true, and noise.
func garbage() [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	all := [][]byte{
		{0},
		[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		append([]byte{0x16, 3, 1, 0xff, 0xff}, noise(300)...),                      // a TLS record
		append([]byte{0x16, 3, 1, 1, 0, 1, 0xff, 0xff, 0xff, 3, 3}, noise(300)...), // a ClientHello of 16 MiB
		append([]byte{0xc3, 0, 0, 0, 1, 8}, noise(1194)...),                        // a QUIC Initial packet
		append([]byte{0xc3, 0xba, 0xba, 0xba, 0xba, 8}, noise(1194)...),            // one of an unknown version
		bytes.Repeat([]byte{0}, 1200),
		bytes.Repeat([]byte{0xff}, 1200),
	}
	for _, n := range []int{1, 7, 64, 1200, 1400} {
		all = append(all, noise(n), noise(n))
	}
	return all
}

const garbageHeap = 64 << 20

func garbageHoldsNobodyUp(r *run) {
	if r.Garbage == nil {
		r.skip("Setup.Garbage is not set")
	}
	l := r.listen()
	r.hangUp(r.connect(l))
	r.obey(rule{"Listener.Accept", holdsNobodyUp})
	before := heap()
	all := garbage()
	r.each(len(all), func(i int) { r.sendGarbage(l.Addr(), all[i]) })
	r.nothingAccepted(l)
	if grown := heap() - before; grown > garbageHeap {
		r.fatalf("%d pieces of garbage hold %d bytes of memory, want at most %d", len(all), grown, garbageHeap)
	}
}

func silenceHoldsNobodyUp(r *run) {
	if r.Garbage == nil {
		r.skip("Setup.Garbage is not set")
	}
	l := r.listen()
	r.obey(rule{"Listener.Accept", holdsNobodyUp})
	r.each(20, func(int) { r.sendGarbage(l.Addr(), nil) })
	r.nothingAccepted(l)
}

func (r *run) sendGarbage(a transport.Addr, p []byte) {
	if err := r.Garbage(r.ctx, a, p); err != nil && r.ctx.Err() == nil {
		r.fatalf("Setup.Garbage(%v, %d bytes) = %v, want nil", a, len(p), err)
	}
}
