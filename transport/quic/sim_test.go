package quic_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
)

// A simNet is a network of packet conns in memory. It loses what it is told to
// lose, and carries the rest after a delay.
type simNet struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]*simPort // by the address at which others see it
	next  uint16
	// fate says after which delays copies of a packet arrive; none if it is
	// lost. Guarded by mu, and called under it.
	fate func(from, to netip.AddrPort, size int) []time.Duration
	// tap, if not nil, sees what is sent, before its fate. It must not keep or
	// change data. Guarded by mu, and called under it.
	tap func(from, to netip.AddrPort, data []byte)
}

// newSimNet makes a network that loses nothing. It has some delay, because
// quic-go takes a round trip of no time at all for one of 100 ms.
func newSimNet() *simNet {
	n := &simNet{ports: make(map[netip.AddrPort]*simPort), next: 1000}
	n.fate = perfect
	return n
}

var fair = []time.Duration{100 * time.Microsecond}

func perfect(_, _ netip.AddrPort, _ int) []time.Duration { return fair }

type simPacket struct {
	from netip.AddrPort
	data []byte
}

// A simPort is a packet conn of a simNet.
type simPort struct {
	net    *simNet
	local  netip.AddrPort
	seen   netip.AddrPort // by others; guarded by net.mu
	in     chan simPacket
	closed chan struct{} // closed by Close, once

	mu    sync.Mutex
	once  bool
	stop  chan struct{} // guarded by mu; closed while the read deadline has passed
	stops bool          // guarded by mu; whether it is closed
}

// listen returns a hook for hosts at ip.
func (n *simNet) listen(ip string) func(context.Context, string, string) (net.PacketConn, error) {
	return func(_ context.Context, _, address string) (net.PacketConn, error) {
		ap, err := netip.ParseAddrPort(address)
		port := uint16(0)
		if err == nil {
			port = ap.Port()
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if port == 0 {
			n.next++
			port = n.next
		}
		at := netip.AddrPortFrom(netip.MustParseAddr(ip), port)
		if n.ports[at] != nil {
			return nil, fmt.Errorf("%v is in use", at)
		}
		p := &simPort{net: n, local: at, seen: at, in: make(chan simPacket, 4096), closed: make(chan struct{}), stop: make(chan struct{})}
		n.ports[at] = p
		return p, nil
	}
}

func (n *simNet) transport(ip string, cfg quic.Config) *quic.Transport {
	cfg.ListenPacket = n.listen(ip)
	return quic.New(cfg)
}

// setFate changes what happens to packets.
func (n *simNet) setFate(f func(from, to netip.AddrPort, size int) []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fate = f
}

// setTap changes who sees the packets.
func (n *simNet) setTap(f func(from, to netip.AddrPort, data []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// inject delivers a packet now, wherever it says that it comes from.
func (n *simNet) inject(from, to netip.AddrPort, data []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deliverLocked(to, simPacket{from, slices.Clone(data)})
}

// move lets a port be seen at another address, as a router does that forgot it.
func (n *simNet) move(from, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.ports[from]
	delete(n.ports, from)
	n.ports[to], p.seen = p, to
}

// crash closes the ports of a host, without a word.
func (n *simNet) crash(ip string) {
	n.mu.Lock()
	var ports []*simPort
	for _, p := range n.ports {
		if p.local.Addr() == netip.MustParseAddr(ip) {
			ports = append(ports, p)
		}
	}
	n.mu.Unlock()
	for _, p := range ports {
		p.Close()
	}
}

func (p *simPort) WriteTo(b []byte, to net.Addr) (int, error) {
	dst := to.(*net.UDPAddr).AddrPort()
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	default:
	}
	if n.tap != nil {
		n.tap(p.seen, dst, b)
	}
	pkt := simPacket{p.seen, slices.Clone(b)}
	for _, d := range n.fate(p.seen, dst, len(b)) {
		time.AfterFunc(d, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.deliverLocked(dst, pkt)
		})
	}
	return len(b), nil
}

func (n *simNet) deliverLocked(to netip.AddrPort, pkt simPacket) {
	if p := n.ports[to]; p != nil {
		select {
		case p.in <- pkt:
		default:
		}
	}
}

func (p *simPort) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	select {
	case pkt := <-p.in:
		return copy(b, pkt.data), net.UDPAddrFromAddrPort(pkt.from), nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	case <-stop:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (p *simPort) Close() error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if !p.once {
		p.once = true
		close(p.closed)
		delete(p.net.ports, p.seen)
	}
	return nil
}

func (p *simPort) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// SetReadDeadline knows what quic-go uses: now, and never.
func (p *simPort) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stops {
		p.stop, p.stops = make(chan struct{}), false
	}
	if !t.IsZero() {
		close(p.stop)
		p.stops = true
	}
	return nil
}

func (p *simPort) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *simPort) SetWriteDeadline(time.Time) error { return nil }

// weather makes a fate: packets take 5 to 25 ms, some are lost, some come twice.
func weather(seed uint64, loss, twice float64) func(from, to netip.AddrPort, size int) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 1))
	delay := func() time.Duration { return 5*time.Millisecond + rand.N(20*time.Millisecond) }
	return func(_, _ netip.AddrPort, _ int) []time.Duration {
		if rng.Float64() < loss {
			return nil
		}
		if rng.Float64() < twice {
			return []time.Duration{delay(), delay()}
		}
		return []time.Duration{delay()}
	}
}

// A pair is two transports with a connection between them.
type pair struct {
	dialer, server   *quic.Transport
	listener         transport.Listener
	dialed, accepted transport.Conn
}

// connect makes a listener and a connection to it. The test ends both.
func connect(t *testing.T, dialer, server *quic.Transport, at string) *pair {
	t.Helper()
	t.Cleanup(func() {
		dialer.Close()
		server.Close()
	})
	l, err := server.Listen(t.Context(), transport.Addr{Host: at})
	if err != nil {
		t.Fatalf("Listen(%q) = %v", at, err)
	}
	p := &pair{dialer: dialer, server: server, listener: l}
	p.dialed, p.accepted = dialAndAccept(t, dialer, l)
	return p
}

func dialAndAccept(t *testing.T, dialer *quic.Transport, l transport.Listener) (dialed, accepted transport.Conn) {
	t.Helper()
	dialed, err := dialer.Dial(t.Context(), l.Addr())
	if err != nil {
		t.Fatalf("Dial(%v) = %v", l.Addr(), err)
	}
	accepted, err = l.Accept(t.Context())
	if err != nil {
		t.Fatalf("Accept() = %v", err)
	}
	return dialed, accepted
}

// simPair is connect over a simNet.
func simPair(t *testing.T, n *simNet) *pair {
	t.Helper()
	return connect(t, n.transport("10.0.0.1", quic.Config{}), n.transport("10.0.0.2", quic.Config{Key: kith.NewKey()}), ":4433")
}

// stream opens a stream at one end and accepts it at the other, with one byte
// sent.
func stream(t *testing.T, from, to transport.Conn) (near, far transport.Stream) {
	t.Helper()
	near, err := from.OpenStream(t.Context())
	if err != nil {
		t.Fatalf("OpenStream() = %v", err)
	}
	if _, err := near.Write([]byte{1}); err != nil {
		t.Fatalf("Write() = %v", err)
	}
	far, err = to.AcceptStream(t.Context())
	if err != nil {
		t.Fatalf("AcceptStream() = %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); err != nil {
		t.Fatalf("Read() = %v", err)
	}
	return near, far
}
