package quic_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
)

// fakeInitial makes what looks like the first packet of a handshake (RFC 9000,
// section 17.2.2). Nobody can tell that it is none without its state: what
// protects it follows from the connection ID, which is random.
func fakeInitial(rng *rand.Rand) []byte {
	const size = 1200 // the least that is looked at
	p := make([]byte, size)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	p[0] = 0xc0 | p[0]&0x0f              // long header, Initial
	binary.BigEndian.PutUint32(p[1:], 1) // version
	p[5] = 8                             // bytes of the other side's connection ID
	p[14] = 0                            // bytes of the own one
	p[15] = 0                            // bytes of the token
	binary.BigEndian.PutUint16(p[16:], 0x4000|(size-18))
	return p
}

// isRetry reports whether a server asks with the packet for proof of an
// address.
func isRetry(p []byte) bool {
	return len(p) > 4 && p[0]>>4 == 0xf && binary.BigEndian.Uint32(p[1:]) == 1
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// randomPort returns an address of which nobody receives packets.
func randomPort(rng *rand.Rand) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{66, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}), uint16(rng.Uint32()|1))
}

// First packets come by the ten thousand, from addresses that are made up. A
// quarter of the places is the most that they take: for the rest the server
// keeps nothing, and asks for proof, which only the good client has.
func TestInitialFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places, packets, batch = 400, 30_000, 300
		n := newSimNet()
		server := n.transport("10.0.0.2", quic.Config{MaxHandshakes: places})
		defer server.Close()
		l, err := server.Listen(t.Context(), transport.Addr{Host: ":1"})
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(l.Addr().Host)
		good := n.transport("10.0.0.1", quic.Config{})
		defer good.Close()
		goodAt := netip.MustParseAddr("10.0.0.1")
		var retries, proofs atomic.Int64
		n.setTap(func(from, to netip.AddrPort, p []byte) {
			switch {
			case from != at || !isRetry(p):
			case to.Addr() == goodAt:
				proofs.Add(1)
			default:
				retries.Add(1)
			}
		})
		rng := rand.New(rand.NewPCG(1, 2))
		before := heap()
		var dial sync.WaitGroup
		most := 0
		for i := range packets / batch {
			for range batch {
				n.inject(randomPort(rng), at, fakeInitial(rng))
			}
			time.Sleep(10 * time.Millisecond)
			most = max(most, quic.Handshaking(l))
			if i == packets/batch/2 {
				dial.Go(func() {
					start := time.Now()
					if _, err := good.Dial(t.Context(), l.Addr()); err != nil {
						t.Errorf("Dial() in the flood = %v, want nil", err)
					}
					if d := time.Since(start); d > 2*time.Second {
						t.Errorf("Dial() in the flood took %v, want at most 2s", d)
					}
				})
			}
		}
		held := int64(heap()) - int64(before)
		dial.Wait()
		t.Logf("%d packets: at most %d handshakes, %d Retry packets, %d KiB held", packets, most, retries.Load(), held>>10)
		if most < places/4 || most > places/4+1 { // one is the good client's
			t.Errorf("%d handshakes in progress, want a quarter of %d", most, places)
		}
		if retries.Load() == 0 || proofs.Load() == 0 {
			t.Errorf("%d Retry packets to strangers, %d to the good client, want some of both", retries.Load(), proofs.Load())
		}
		if held > 32<<20 {
			t.Errorf("the flood makes the server hold %d bytes, want at most 32 MiB", held)
		}
		if _, err := l.Accept(t.Context()); err != nil {
			t.Errorf("Accept() = %v, want the good client", err)
		}
		time.Sleep(time.Minute)
		if k := quic.Handshaking(l); k != 0 {
			t.Errorf("%d handshakes in progress a minute later, want 0", k)
		}
	})
}

// A server that is not crowded costs nobody the round trip of a Retry.
func TestNoRetryInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		n.setTap(func(_, _ netip.AddrPort, p []byte) {
			if isRetry(p) {
				t.Error("a Retry packet with one handshake in progress")
			}
		})
		simPair(t, n)
	})
}

// A hostile is somebody on the way who sends each packet again, changed,
// and from elsewhere, beside packets of his own.
type hostile struct {
	n   *simNet
	rng *rand.Rand
	// Guarded by n.mu.
	seen [][]byte // some of what was sent
	sent int
}

func (h *hostile) tap(from, to netip.AddrPort, p []byte) {
	again := bytes.Clone(p)
	changed := bytes.Clone(p)
	changed[h.rng.IntN(len(changed))] ^= 1 << h.rng.IntN(8)
	junk := make([]byte, 1+h.rng.IntN(1400))
	for i := range junk {
		junk[i] = byte(h.rng.Uint32())
	}
	h.later(0, from, to, changed)                       // before the packet itself
	h.later(0, randomPort(h.rng), to, bytes.Clone(p))   // as if the sender had moved
	h.later(time.Millisecond, from, to, again)          // once more
	h.later(time.Millisecond, randomPort(h.rng), to, p) // and from elsewhere
	h.later(time.Millisecond, from, to, junk)           // no QUIC at all
	h.later(time.Millisecond, from, to, p[:len(p)/2])   // cut short
	h.later(2*time.Millisecond, from, to, fakeInitial(h.rng))
	if len(h.seen) < 2000 {
		h.seen = append(h.seen, again)
	}
	old := h.seen[h.rng.IntN(len(h.seen))]
	h.later(time.Millisecond, from, to, old) // of long ago, and of either direction
}

// later delivers a packet, which it copies.
func (h *hostile) later(d time.Duration, from, to netip.AddrPort, p []byte) {
	h.sent++
	p = bytes.Clone(p)
	time.AfterFunc(d, func() { h.n.inject(from, to, p) })
}

// Packets that are replayed, changed, cut, made up or come from elsewhere
// change nothing: each stream arrives once and whole, and the connection lasts.
func TestReplayedAndGarbagePackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		p := simPair(t, n)
		h := &hostile{n: n, rng: rand.New(rand.NewPCG(3, 4))}
		n.setTap(h.tap)
		var served, calls sync.WaitGroup
		accepted := &countingConn{Conn: p.accepted}
		echo(&served, accepted)
		callers, each := 4, 20
		if raceEnabled {
			// The race detector's record of stacks overflows, and ends the process,
			// after some ten thousand timers that fire in one bubble (Go 1.26).
			callers, each = 2, 10
		}
		for i := range callers {
			calls.Go(func() {
				for j := range each {
					b := bytes.Repeat([]byte{byte(i), byte(j)}, 1+j*j*50)
					if got, err := call(p.dialed, b); err != nil || !bytes.Equal(got, b) {
						t.Errorf("call(%d bytes) = %d bytes, %v, want them back", len(b), len(got), err)
						return
					}
				}
			})
		}
		calls.Wait()
		if k := accepted.streams.Load(); k != int64(callers*each) {
			t.Errorf("%d streams arrived of %d calls", k, callers*each)
		}
		if err := p.accepted.Context().Err(); err != nil {
			t.Errorf("the connection ended: %v", transport.ConnErr(p.accepted.Context()))
		}
		n.setTap(nil)
		t.Logf("%d hostile packets", h.sent)
		time.Sleep(30 * time.Second)
		if k := quic.Handshaking(p.listener); k != 0 {
			t.Errorf("%d handshakes in progress half a minute later, want 0", k)
		}
		dialAndAccept(t, n.transportForTest(t, "10.0.0.3"), p.listener)
		p.dialer.Close()
		p.server.Close()
		served.Wait()
	})
}

// transportForTest is transport, closed when the test ends.
func (n *simNet) transportForTest(t *testing.T, ip string) *quic.Transport {
	tr := n.transport(ip, quic.Config{Key: kith.NewKey()})
	t.Cleanup(func() { tr.Close() })
	return tr
}

// A countingConn counts the streams that it accepts.
type countingConn struct {
	transport.Conn
	streams atomic.Int64
}

func (c *countingConn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	s, err := c.Conn.AcceptStream(ctx)
	if err == nil {
		c.streams.Add(1)
	}
	return s, err
}
