package mdns

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A lan is a virtual network of virtual hosts. What is sent to the group is heard by all, the sender included,
// after delay, as on a real one.
type lan struct {
	t     testing.TB
	delay time.Duration

	mu    sync.Mutex
	rng   *rand.Rand
	loss  float64 // of what a host should hear
	hosts []*vhost
	cut   func(from, to *vhost) bool // nil: nobody is cut off
	stray func(p []byte, from, to netip.AddrPort)
	seed  uint64

	packets, bytes int // sent
	answers, asked int
	dropped        int // for lack of room
}

// A vhost is one host with one interface and one Discovery, and so a medium.
type vhost struct {
	lan  *lan
	d    *Discovery
	host host
	info linkInfo
	off  bool // guarded by lan.mu; crashed, or closed

	room bucket // guarded by lan.mu; what the kernel holds until it is read
}

func newLAN(t testing.TB, seed uint64) *lan {
	return &lan{t: t, delay: 500 * time.Microsecond, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed}
}

// node adds a host.
func (n *lan) node() *vhost {
	return n.nodeWith(slog.New(slog.DiscardHandler), discovery.TableConfig{})
}

func (n *lan) nodeWith(log *slog.Logger, table discovery.TableConfig) *vhost {
	n.mu.Lock()
	i := len(n.hosts) + 1
	addr := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
	// 90 packets are what Linux has room for by default; one every 20 µs is a slow reader.
	h := &vhost{lan: n, room: bucket{burst: 90, interval: 20 * time.Microsecond}, info: linkInfo{
		linkKey: linkKey{index: 2}, name: "virt0", addr: addr,
		prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
	}}
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	h.d = newDiscovery(log, table, rand.New(rand.NewPCG(n.seed, uint64(i+1))))
	h.d.open = func(_ context.Context, to host) (medium, error) {
		n.mu.Lock()
		h.host = to
		n.mu.Unlock()
		to.setLinks([]linkInfo{h.info})
		return h, nil
	}
	return h
}

func (h *vhost) addr() netip.AddrPort { return netip.AddrPortFrom(h.info.addr, mdnsPort) }

// send implements medium.
func (h *vhost) send(o outbound) {
	h.lan.mu.Lock()
	off := h.off
	if !off {
		h.lan.packets++
		h.lan.bytes += len(o.data)
		if o.data[2]&0x80 != 0 {
			h.lan.answers++
		} else {
			h.lan.asked++
		}
	}
	h.lan.mu.Unlock()
	if !off {
		h.lan.transmit(h, inbound{from: h.addr(), index: 2, ttl: 255}, o.to, o.data)
	}
}

// close implements medium.
func (h *vhost) close() { h.crash() }

// crash takes the host off the network without a word.
func (h *vhost) crash() {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	h.off = true
}

// inject sends a packet to all, as somebody who keeps no rule.
func (n *lan) inject(in inbound, p []byte) { n.transmit(nil, in, netip.AddrPort{}, p) }

func (n *lan) transmit(from *vhost, in inbound, to netip.AddrPort, p []byte) {
	p = bytes.Clone(p)
	time.AfterFunc(n.delay, func() { n.deliver(from, in, to, p) })
}

func (n *lan) deliver(from *vhost, in inbound, to netip.AddrPort, p []byte) {
	n.mu.Lock()
	var hears []host
	for _, h := range n.hosts {
		lost := n.loss > 0 && h != from && n.rng.Float64() < n.loss
		switch {
		case h.off, h.host == nil, lost, from != nil && n.cut != nil && n.cut(from, h):
		case to.IsValid() && to != h.addr():
		case !h.room.take(time.Now()):
			n.dropped++
		default:
			hears = append(hears, h.host)
		}
	}
	stray := n.stray
	n.mu.Unlock()
	if stray != nil && from != nil {
		stray(p, from.addr(), to)
	}
	var m message
	for _, h := range hears {
		h.receive(&m, p, in)
	}
}

// sent returns and resets how much hosts sent since it was asked last.
func (n *lan) sent() (packets, bytes, answers, asked int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	packets, bytes, answers, asked = n.packets, n.bytes, n.answers, n.asked
	n.packets, n.bytes, n.answers, n.asked = 0, 0, 0, 0
	return packets, bytes, answers, asked
}

var testNetwork = discovery.Public("a test").Network()

// An identity signs records.
type identity struct {
	*kith.Key
	network  discovery.Tag
	sequence uint64
	addr     string
	ttl      time.Duration
}

func newIdentity() *identity {
	return &identity{kith.NewKey(), testNetwork, 0, "quic://10.0.0.7:4433", 24 * time.Hour}
}

// sign returns a record that is newer than the last.
func (i *identity) sign(t testing.TB) discovery.Signed {
	t.Helper()
	i.sequence++
	s, err := discovery.Sign(i.Key, discovery.Record{
		Network: i.network, Sequence: i.sequence, Expires: time.Now().Add(i.ttl), Addrs: []string{i.addr},
		Services: []discovery.Tag{{1}, {2}, {3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (i *identity) goodbye(t testing.TB) discovery.Signed {
	t.Helper()
	i.sequence++
	s, err := discovery.Sign(i.Key, discovery.Record{
		Network: i.network, Sequence: i.sequence, Expires: time.Now().Add(i.ttl),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func advertise(t testing.TB, d *Discovery, i *identity) discovery.Advertiser {
	t.Helper()
	a, err := d.Advertise(t.Context(), i.sign(t))
	if err != nil {
		t.Fatalf("Advertise() = %v", err)
	}
	return a
}

// A watch is a browser and what it told.
type watch struct {
	discovery.Browser
	t     testing.TB
	known map[kith.ID]discovery.Record
	log   []discovery.Event
}

func browse(t testing.TB, d *Discovery) *watch {
	t.Helper()
	b, err := d.Browse(t.Context(), testNetwork)
	if err != nil {
		t.Fatalf("Browse() = %v", err)
	}
	return &watch{Browser: b, t: t, known: make(map[kith.ID]discovery.Record)}
}

// until takes events until ok, or fails after d.
func (w *watch) until(d time.Duration, what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for !ok() {
		ev, err := w.Next(ctx)
		if err != nil {
			w.t.Fatalf("waiting for %s: Next() = %v after %v; known are %d, events %d", what, err, d, len(w.known), len(w.log))
		}
		w.take(ev)
	}
}

func (w *watch) take(ev discovery.Event) {
	w.log = append(w.log, ev)
	if ev.Kind == discovery.Lost {
		delete(w.known, ev.Record.ID)
		return
	}
	w.known[ev.Record.ID] = ev.Record
}

// drain takes the events of the time d.
func (w *watch) drain(d time.Duration) []discovery.Event {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	start := len(w.log)
	for {
		ev, err := w.Next(ctx)
		if err != nil {
			return slices.Clone(w.log[start:])
		}
		w.take(ev)
	}
}

func (w *watch) knows(i *identity) func() bool {
	return func() bool { r, ok := w.known[i.ID()]; return ok && r.Sequence == i.sequence }
}

func (w *watch) lost(i *identity) func() bool {
	return func() bool { _, ok := w.known[i.ID()]; return !ok }
}

// closeAll closes what is open, inside of the bubble.
func (n *lan) closeAll() {
	for _, h := range n.hosts {
		if err := h.d.Close(); err != nil {
			n.t.Errorf("Close() = %v, want nil", err)
		}
	}
	time.Sleep(2 * n.delay) // in a bubble: what is on its way arrives
}
