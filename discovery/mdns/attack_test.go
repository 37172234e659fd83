package mdns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/discovery"
)

// signed returns a record of somebody else, as it is sent.
func signed(t testing.TB, change func(*identity)) []byte {
	id := newIdentity()
	if change != nil {
		change(id)
	}
	return id.sign(t).Append(nil)
}

func TestForgedPacketsDeliverNothing(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		id := newIdentity()
		id.sequence = 100
		advertise(t, n.node().d, id)
		w := browse(t, n.node().d)
		w.until(time.Second, "the true node", w.knows(id))
		old := newIdentity()
		old.Key, old.sequence = id.Key, 50
		good := func() []byte { return saying(signed(t, nil), ttlAnswer) }
		flip := func(p []byte, at int, b byte) []byte { p[at] ^= b; return p }
		from := func(addr string) inbound { return inbound{from: netip.MustParseAddrPort(addr), index: 2, ttl: 255} }

		forged := map[string]struct {
			in inbound
			p  []byte
		}{
			"a query with an answer in it":   {attacker, flip(good(), 2, 0x80)},
			"source port not 5353":           {from("10.1.200.1:5354"), good()},
			"another service":                {attacker, bytes.Replace(good(), []byte("_kith"), []byte("_kitt"), 1)},
			"off-link source":                {from("192.0.2.1:5353"), good()},
			"routed, by its TTL":             {inbound{from: attacker.from, index: 2, ttl: 254}, good()},
			"interface we do not use":        {inbound{from: attacker.from, index: 3, ttl: 255}, good()},
			"TTL 0 of a live node's record":  {attacker, saying(old.sign(t).Append(nil), 0)},
			"TTL 0 of a stranger":            {attacker, saying(signed(t, nil), 0)},
			"wrong signature":                {attacker, saying(flip(signed(t, nil), 120, 1), ttlAnswer)},
			"goodbye without its signature":  {attacker, saying(flip(old.goodbye(t).Append(nil), 90, 1), 0)},
			"goodbye with an old sequence":   {attacker, saying(old.goodbye(t).Append(nil), 0)},
			"old sequence":                   {attacker, saying(old.sign(t).Append(nil), ttlAnswer)},
			"expired":                        {attacker, saying(signed(t, func(i *identity) { i.ttl = -time.Minute }), ttlAnswer)},
			"another network":                {attacker, saying(signed(t, func(i *identity) { i.network[0]++ }), ttlAnswer)},
			"address far away":               {attacker, saying(signed(t, func(i *identity) { i.addr = "quic://192.0.2.7:443" }), ttlAnswer)},
			"name of a host as address":      {attacker, saying(signed(t, func(i *identity) { i.addr = "quic://example.org:443" }), ttlAnswer)},
			"name in upper case":             {attacker, bytes.ToUpper(good()[:100])},
			"ID in upper case":               {attacker, upperLabel(good())},
			"another's record under a name":  {attacker, mislabelled(t)},
			"pointer that loops":             {attacker, looping(good())},
			"pointer that leads forwards":    {attacker, append(good()[:12], 0xc0, 40, 0, 12, 0, 1)},
			"more records than there are":    {attacker, flip(good(), 7, 8)},
			"more records than are allowed":  {attacker, flip(good(), 6, 1)},
			"too long":                       {attacker, append(good(), make([]byte, maxPacket)...)},
			"cut short":                      {attacker, good()[:200]},
			"an opcode":                      {attacker, flip(good(), 2, 0x10)},
			"an error code":                  {attacker, flip(good(), 3, 3)},
			"record in the authority":        {attacker, inAuthority(good())},
			"text of another version":        {attacker, bytes.Replace(good(), []byte("v=1"), []byte("v=2"), 1)},
			"text that is not base64url":     {attacker, bytes.Replace(good(), []byte("r0="), []byte("r0=!"), 1)},
			"empty":                          {attacker, nil},
			"record of another's, repointed": {attacker, saying(flip(signed(t, nil), 60, 3), ttlAnswer)},
		}
		for _, f := range forged {
			n.inject(f.in, f.p)
		}
		for what, f := range forged {
			n.inject(f.in, f.p)
			if ev := w.drain(time.Second); len(ev) != 0 {
				t.Errorf("%s: delivered %v %v, want nothing", what, ev[0].Kind, ev[0].Record)
			}
		}
		n.inject(attacker, good())
		if ev := w.drain(time.Second); len(ev) != 1 {
			t.Errorf("a right one: delivered %v, want Found", kinds(ev))
		}
		t.Logf("%d kinds", len(forged))
	})
}

func upperLabel(p []byte) []byte {
	at := bytes.IndexByte(p, labelSize)
	copy(p[at+1:], bytes.ToUpper(p[at+1:at+1+labelSize]))
	return p
}

func mislabelled(t testing.TB) []byte {
	raw := signed(t, nil)
	return buildAnswer(&advert{label: labelOf(newIdentity().ID()), text: textOfBytes(raw), port: 9}, netip.Addr{}, ttlAnswer, nil)
}

func looping(p []byte) []byte {
	at := bytes.Index(p, []byte{0xc0, 12}) // in the instance's name: the service
	p[at+1] = byte(at - 20)
	return p
}

func inAuthority(p []byte) []byte {
	copy(p[8:10], p[6:8])
	p[6], p[7] = 0, 0
	return p
}

// ask is a question with a random id.
func ask(l label, unicast bool) []byte {
	p := buildQuestion(l)
	if unicast {
		p[len(p)-2] |= 0x80
	}
	binary.BigEndian.PutUint16(p, uint16(rand.Uint32()))
	return p
}

func TestAmplification(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		id := newIdentity()
		advertise(t, n.node().d, id)
		time.Sleep(time.Minute)
		n.sent()
		var offLink atomic.Int64
		n.stray = func(_ []byte, _, to netip.AddrPort) {
			if to.IsValid() && !netip.MustParsePrefix("10.1.0.0/16").Contains(to.Addr()) {
				offLink.Add(1)
			}
		}
		in := 0
		for i := range 10000 {
			source := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			if i%4 == 3 {
				source = netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
			}
			port := []uint16{mdnsPort, 40000, 53}[i%3]
			p := ask([]label{{}, labelOf(id.ID())}[i/3%2], i/6%2 == 0)
			in += len(p)
			n.inject(inbound{from: netip.AddrPortFrom(source, port), index: 2, ttl: 255}, p)
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(5 * time.Second)
		packets, out, _, _ := n.sent()
		t.Logf("10,000 questions in a second: %d bytes in, %d packets and %d bytes out: %.3f x", in, packets, out, float64(out)/float64(in))
		if out > 3*in {
			t.Errorf("%d bytes out for %d bytes in, want at most three times as much", out, in)
		}
		if offLink.Load() != 0 {
			t.Errorf("%d packets to off-link sources, want none", offLink.Load())
		}
	})
}

func TestUnsolicitedPacketsAreNotAnswered(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		advertise(t, n.node().d, newIdentity())
		h := n.node()
		browse(t, h.d)
		time.Sleep(time.Minute)
		before := h.d.Stats()
		for range 100 {
			p := saying(signed(t, func(i *identity) { i.network[0]++ }), ttlAnswer)
			for range 100 {
				n.inject(attacker, p)
				time.Sleep(100 * time.Microsecond)
			}
		}
		after := h.d.Stats()
		if got := after.QuestionsSent - before.QuestionsSent + after.Probes - before.Probes; got > 5 {
			t.Errorf("10,000 unsolicited packets: %d queries, want 5 at most", got)
		}
	})
}

// Names that nobody signed, a million with KITH_MDNS_SCALE set, and thousands that somebody did, fill no memory and
// drive nobody out.
func TestManyNames(t *testing.T) {
	names := 50_000
	if raceEnabled {
		names = 10_000
	}
	if os.Getenv("KITH_MDNS_SCALE") != "" {
		names = 1_000_000
	}
	synctest.Test(t, func(t *testing.T) {
		n := newLAN(t, 1)
		defer n.closeAll()
		id := newIdentity()
		advertise(t, n.node().d, id)
		h := n.node()
		w := browse(t, h.d)
		w.until(time.Second, "the true node", w.knows(id))
		time.Sleep(time.Minute)

		var strangers [][]byte
		for range 2000 {
			strangers = append(strangers, saying(signed(t, nil), ttlAnswer))
		}
		before := heap()
		var m message
		raw := signed(t, nil)
		for i := range names {
			binary.BigEndian.PutUint64(raw[1:], uint64(i)) // another ID
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 200, byte(i % 4)}), mdnsPort)
			h.d.receive(&m, saying(raw, ttlAnswer), inbound{from: from, index: 2, ttl: 255})
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		for i, p := range strangers {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 201, byte(i % 4)}), mdnsPort)
			h.d.receive(&m, p, inbound{from: from, index: 2, ttl: 255})
			time.Sleep(5 * time.Millisecond)
		}
		grown := heap() - before
		runtime.KeepAlive(strangers)
		t.Logf("%d unsigned names, 2,000 signed from four sources: %d bytes held", names, grown)
		if grown > 1<<20 {
			t.Errorf("%d bytes held, want 1 MiB at most", grown)
		}
		w.drain(time.Second)
		if !w.knows(id)() {
			t.Errorf("the true node was driven out")
		}
		if got := len(w.known); got > 1+4*64 {
			t.Errorf("%d nodes known, want 64 for each source at most", got)
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Two hundred others say twice a second that they are a node, each from an address of its own.
func TestImpostors(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		id := newIdentity()
		truth := id.sign(t).Append(nil)
		w := browse(t, n.node().d)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 200 * 2 * 15 {
			lie := bytes.Clone(truth)
			binary.BigEndian.PutUint64(lie[41:], uint64(i)+1000) // the sequence
			p := saying(lie, ttlAnswer)
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 210, byte(i % 200)}), mdnsPort)
			time.AfterFunc(time.Duration(rng.Int64N(int64(15*time.Second))), func() {
				n.inject(inbound{from: from, index: 2, ttl: 255}, p)
			})
		}
		time.Sleep(10 * time.Second)
		within(t, "true node found among 200 impostors", took(func() {
			advertise(t, n.node().d, id)
			w.until(time.Minute, "the true node", w.knows(id))
		}), 5*time.Second)
		time.Sleep(15 * time.Second)
	})
}

func TestLogIsLimited(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		var lines atomic.Int64
		h := n.nodeWith(limitLog(slog.New(countingHandler{lines: &lines})), discovery.TableConfig{})
		id := newIdentity()
		advertise(t, h.d, id)
		twin := newIdentity()
		twin.Key, twin.sequence = id.Key, 1000
		broken := saying(signed(t, nil), ttlAnswer)[:300]
		for range 10000 {
			n.inject(attacker, []byte("no packet"))
			n.inject(attacker, broken)
			h.d.log.Warn("a line for each bad packet")
			time.Sleep(time.Millisecond)
		}
		for range 100 {
			n.inject(attacker, saying(twin.sign(t).Append(nil), ttlAnswer))
		}
		t.Logf("%d lines in 10 s", lines.Load())
		if got := lines.Load(); got > 100 || got == 0 {
			t.Errorf("%d lines in 10 s, want 1 to 100", got)
		}
	})
}

type countingHandler struct {
	slog.Handler
	lines *atomic.Int64
}

func (countingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h countingHandler) Handle(context.Context, slog.Record) error { h.lines.Add(1); return nil }

func TestTwinIsReported(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		var text strings.Builder
		id := newIdentity()
		h := n.nodeWith(slog.New(slog.NewTextHandler(&text, nil)), discovery.TableConfig{})
		advertise(t, h.d, id)
		id.sequence = 1000
		advertise(t, n.node().d, id)
		time.Sleep(time.Minute)
		n.closeAll() // nobody writes to text any more
		if !strings.Contains(text.String(), "another process advertises this identity") {
			t.Errorf("log = %q, want a line about a second process", text.String())
		}
	})
}

// A stuckConn is a socket on which reading fails until it is well.
type stuckConn struct {
	reads atomic.Int64
	well  atomic.Bool
	done  chan struct{}
}

func (s *stuckConn) read(b []byte) (int, inbound, error) {
	s.reads.Add(1)
	if !s.well.Load() {
		return 0, inbound{}, errors.New("persistent")
	}
	select {
	case <-s.done:
		return 0, inbound{}, errors.New("closed")
	case <-time.After(time.Second):
		return copy(b, "packet"), inbound{}, nil
	}
}

func (s *stuckConn) write([]byte, netip.AddrPort) error { return nil }
func (s *stuckConn) Close() error                       { close(s.done); return nil }

func TestPersistentReadError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuckConn{done: make(chan struct{})}
		var heard atomic.Int64
		c := startConn(s, found{}, slog.New(slog.DiscardHandler), func(*message, []byte, inbound) { heard.Add(1) })
		time.Sleep(time.Minute)
		if got := s.reads.Load(); got > 70 {
			t.Errorf("%d reads of a broken socket in a minute, want about one a second", got)
		}
		if !c.failed.Load() {
			t.Errorf("a socket that cannot be read is not to be opened anew")
		}
		s.well.Store(true)
		time.Sleep(3 * time.Second)
		if heard.Load() == 0 {
			t.Errorf("nothing was heard of a socket that recovered")
		}
		c.close()
		c.wait()
	})
}

func TestEndOfContext(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		h := n.node()
		w := browse(t, h.d)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) || time.Since(start) > time.Second+50*time.Millisecond {
			t.Errorf("Next() = %v after %v, want %v after 1s", err, time.Since(start), context.Canceled)
		}
		if _, err := h.d.Browse(ctx, testNetwork); !errors.Is(err, context.Canceled) {
			t.Errorf("Browse(ended ctx) = %v, want %v", err, context.Canceled)
		}
		if _, err := h.d.Advertise(ctx, newIdentity().sign(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("Advertise(ended ctx) = %v, want %v", err, context.Canceled)
		}
	})
}
