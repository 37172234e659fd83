package mdns

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	hashimdns "github.com/hashicorp/mdns"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/discoverytest"
	"github.com/kith-go/kith/internal/netns"
	"golang.org/x/sys/unix"
)

func testLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestLoopback(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	a, b, id := newSockets(t, Config{}, "lo"), newSockets(t, Config{}, "lo"), newIdentity()
	w := browse(t, b)
	adv := advertise(t, a, id)
	t.Logf("join: %v", took(func() { w.until(patience, "join", w.knows(id)) }))
	if s := a.Stats(); !s.Responder || len(s.Links) == 0 {
		t.Errorf("Stats() = %+v, want links and a responder", s)
	}
	t.Logf("update: %v", took(func() {
		if err := adv.Update(id.sign(t)); err != nil {
			t.Fatal(err)
		}
		w.until(patience, "update", w.knows(id))
	}))
	w.Suspect(id.ID())
	if ev := w.drain(time.Second); len(ev) != 0 {
		t.Errorf("after Suspect of a live node: %v, want no event", kinds(ev))
	}
	c := browse(t, newSockets(t, Config{}, "lo"))
	t.Logf("newcomer: %v", took(func() { c.until(patience, "newcomer", c.knows(id)) }))
	t.Logf("leave: %v", took(func() {
		if err := adv.Close(id.goodbye(t)); err != nil {
			t.Fatal(err)
		}
		w.until(patience, "leave", w.lost(id))
	}))
}

func TestLoopbackSuite(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	discoverytest.Run(t, func(t testing.TB) discoverytest.Setup {
		return discoverytest.Setup{
			New:    func() discovery.Discovery { return newSockets(t, Config{}, "lo") },
			Inject: func(raw []byte) error { return shout(t, saying(raw, ttlAnswer)) },
			Crash:  func(d discovery.Discovery) { kill(d.(*Discovery)) },
			// Shutdown of its server does not wait, and a query's readers end by themselves.
			IgnoreGoroutines: []string{"hashicorp/mdns"},
		}
	})
}

// kill takes a Discovery off the network without a word.
func kill(d *Discovery) {
	<-d.starts
	defer func() { d.starts <- struct{}{} }()
	s := d.medium.(*sockets)
	for _, c := range *s.conns.Load() {
		c.close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.setLinks(time.Now(), nil)
	d.engine.adverts = nil
}

// shout sends a packet to the group on lo, as any mDNS host would, from strangerAddr.
func shout(t testing.TB, p []byte) error {
	t.Helper()
	iface, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	pc, err := listen(iface, linkInfo{linkKey: linkKey{index: iface.Index}, name: "lo", addr: netip.AddrFrom4(strangerAddr)})
	if err != nil {
		return err
	}
	defer func() { _ = pc.Close() }()
	return pc.write(p, group4)
}

// Ordinary mDNS programs see a node, both those that ask once and those that listen.
func TestHashicorpClientSeesUs(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, standalone := range []bool{false, true} {
		d, id := newSockets(t, Config{Standalone: standalone}, "lo"), newIdentity()
		advertise(t, d, id)
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		entries := make(chan *hashimdns.ServiceEntry, 16)
		err = hashimdns.QueryContext(t.Context(), &hashimdns.QueryParam{
			Service: "_kith._udp", Domain: "local", Timeout: time.Second, Interface: lo, Entries: entries, DisableIPv6: true, Logger: silent,
		})
		if err != nil {
			t.Fatal(err)
		}
		close(entries)
		seen := false
		for e := range entries {
			if e.Name == id.ID().String()+"."+serviceName && e.Port == 4433 && e.AddrV4 != nil {
				s, err := discovery.Open(rawOf(e.InfoFields))
				seen = err == nil && s.Record().Sequence == 1
			}
		}
		if !seen {
			t.Errorf("standalone %v: the query of hashicorp/mdns does not see the node", standalone)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// exclusively takes the port so that nobody can share it.
func exclusively(t *testing.T) (release func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Port: mdnsPort}); err != nil {
		t.Fatal(err)
	}
	return func() { _ = unix.Close(fd) }
}

func TestPortTaken(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	release := exclusively(t)
	d := newSockets(t, Config{}, "lo")
	_, err := d.Browse(t.Context(), testNetwork)
	if !errors.Is(err, discovery.ErrUnavailable) || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "port 5353") {
		t.Errorf("Browse() with the port taken = %v, want %v that names the port", err, discovery.ErrUnavailable)
	}
	release()
	if _, err := d.Browse(t.Context(), testNetwork); err != nil {
		t.Errorf("Browse() with the port free again = %v, want nil", err)
	}
}

func TestNoInterfaceAtFirst(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if err := netns.SetUp("lo", false); err != nil {
		t.Fatal(err)
	}
	a, b, id := newSockets(t, Config{}, "lo"), newSockets(t, Config{}, "lo"), newIdentity()
	advertise(t, a, id)
	w := browse(t, b)
	if s := b.Stats(); len(s.Links) != 0 {
		t.Errorf("Stats().Links = %v with lo down, want none", s.Links)
	}
	if err := setUpLoopback(); err != nil {
		t.Fatal(err)
	}
	t.Logf("lo up until found: %v", took(func() { w.until(patience, "lo is up", w.knows(id)) }))
}

// What else listens on the port keeps its unicast packets: the server of hashicorp/mdns gives way.
func TestSharedPort(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := startNode(t, nil, "lo") // another process
	p.tell("advertise")
	p.sync() // it has the port
	other := p.id(t)
	d, id := newSockets(t, Config{}, "lo"), newIdentity()
	advertise(t, d, id)
	w := browse(t, d)
	w.until(patience, "both", func() bool { _, ok := w.known[other]; return ok && w.knows(id)() })
	if d.Stats().Responder {
		t.Errorf("Stats().Responder = true beside another process on the port, want false")
	}
}
