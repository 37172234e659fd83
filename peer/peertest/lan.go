package peertest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A Config configures [New]. The zero value is a perfect network.
type Config struct {
	// Seed decides what the package's comment says.
	Seed uint64

	// Link joins every two nodes for which [LAN.SetLink] says nothing else. On the bus
	// its Loss is of packets, for good, and there is no bandwidth.
	Link memory.Link

	// Duplicate is the probability that a packet of the bus is heard twice.
	Duplicate float64

	// Schemes are the transports that each node has, and listens with. If empty, "memory". With
	// "quic" and "tcp" a node races them as it does real ones; each has links of its own.
	Schemes []string

	// Timeout is how long WaitUp and its like wait until they fail the test. If
	// zero, a minute. If negative, for as long as the test runs.
	Timeout time.Duration
}

// A LAN joins nodes. Get one from [New]; the end of the test closes it. The methods that
// can fail the test are for the test's goroutine, as [testing.T.FailNow] is; the
// others may be called from any number of goroutines. It runs one
// goroutine for the bus and one for each node.
type LAN struct {
	t     testing.TB
	cfg   Config
	net   *memory.Network
	wires *wires
	bus   *bus
	begin time.Time

	mu    sync.Mutex
	hosts map[string]*host // by name; guarded by mu
	addrs int              // how many were given away; guarded by mu
}

// A host is where a node lives. It stays when the node is gone.
type host struct {
	name string
	cfg  peer.Config // completed, but for what is new at each start
	own  bool        // Discovery is the bus
	key  *kith.Key
	addr string // guarded by LAN.mu

	// Guarded by LAN.mu.
	node    *Node
	trs     transport.Router
	station *station // nil unless own
	down    bool
}

const (
	defaultTimeout = time.Minute
	firstPort      = 4433
	maxHosts       = 1 << 24
)

// New makes a LAN without nodes. The end of the test closes its nodes and then it.
func New(t testing.TB, cfg Config) *LAN {
	t.Helper()
	cfg.Schemes = slices.Clone(cfg.Schemes)
	if len(cfg.Schemes) == 0 {
		cfg.Schemes = []string{memory.Scheme}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	l := &LAN{
		t: t, cfg: cfg, begin: time.Now(), hosts: make(map[string]*host),
		net: memory.NewNetwork(memory.NetworkConfig{Seed: cfg.Seed, Link: cfg.Link}),
	}
	l.wires = newWires(l.net, cfg)
	l.bus = newBus(cfg, l.wires)
	t.Cleanup(l.close)
	return l
}

// close is the test's last word.
func (l *LAN) close() {
	for _, h := range l.all() {
		_ = h.node.Close()
		<-h.node.ended
	}
	l.bus.close()
	if err := l.net.Close(); err != nil {
		l.t.Errorf("peertest: close network: %v", err)
	}
}

func (l *LAN) all() []*host {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hosts []*host
	for _, h := range l.hosts {
		if h.node != nil {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Key returns the key of the node of that name, which depends on the seed and the name only: a
// test can pin a node before it is there.
func (l *LAN) Key(name string) *kith.Key {
	seed := sha256.New()
	seed.Write([]byte("kith peertest key v1\x00"))
	seed.Write(binary.BigEndian.AppendUint64(nil, l.cfg.Seed))
	seed.Write([]byte(name))
	key, err := kith.KeyFromSigner(ed25519.NewKeyFromSeed(seed.Sum(nil)))
	if err != nil {
		panic(err) // an Ed25519 key always does
	}
	return key
}

// Network returns the network below, for what else a test has on it: clients, or faults of its own. The
// hosts of a node are named by [Node.Host].
func (l *LAN) Network() *memory.Network { return l.net }

// Discovery returns a Discovery on the bus for a program of that name that is no node. The
// caller closes it.
func (l *LAN) Discovery(name string) discovery.Discovery { return l.bus.station(name) }

// Stats is what a [LAN] counts.
type Stats struct {
	Conns     int    // connections now
	Questions uint64 // packets on the bus that ask, each counted once however many hear it
	Records   uint64 // packets on the bus with a record
	Bytes     uint64 // of both
}

// Stats returns a snapshot.
func (l *LAN) Stats() Stats {
	s := l.bus.stats()
	s.Conns = l.net.Stats().Conns
	return s
}

// Join makes a node of a name that is new on the LAN, and joins. It fails the test if that
// is not possible. cfg is the application's; of it, the LAN fills in
//
//   - Transport, always;
//   - Listen, unless it is set: an address with each of the LAN's schemes, or none where it is empty and not nil;
//   - Discovery, unless it is set: the bus;
//   - Key, unless that or KeyFile is set: [LAN.Key];
//   - Name, if it is empty: the name.
func (l *LAN) Join(name string, cfg peer.Config) *Node {
	l.t.Helper()
	h, err := l.newHost(name, cfg)
	if err != nil {
		l.t.Fatalf("peertest: Join(%q): %v", name, err)
	}
	return l.start(h)
}

// Restart makes a node again that crashed, was killed or has left, or is still there, which kills it: as
// a new process on the same host, with the same configuration and key. n is of no more use.
func (l *LAN) Restart(n *Node) *Node {
	l.t.Helper()
	l.Kill(n)
	return l.start(n.host)
}

func (l *LAN) newHost(name string, cfg peer.Config) (*host, error) {
	h := &host{name: name, cfg: cfg, own: cfg.Discovery == nil, key: cfg.Key}
	if cfg.Transport != nil {
		return nil, fmt.Errorf("the configuration has a Transport: nodes on a LAN use the LAN's")
	}
	if _, err := transport.ParseAddr(hostName(name, l.cfg.Schemes[0])); err != nil {
		return nil, fmt.Errorf("not fit to name a host: %w", err)
	}
	if cfg.KeyFile != "" && cfg.Key == nil {
		key, err := kith.LoadKey(cfg.KeyFile)
		if err != nil {
			return nil, err
		}
		h.cfg.KeyFile, h.key = "", key
	}
	if h.key == nil {
		h.key = l.Key(name)
	}
	h.cfg.Key = h.key
	if cfg.Name == "" {
		h.cfg.Name = name
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts[name] != nil {
		return nil, fmt.Errorf("there is a node of that name: Restart starts it again")
	}
	l.hosts[name] = h
	return h, l.addressLocked(h)
}

// addressLocked gives a host a fresh address: all its schemes have the same, as the
// transports of a machine do.
func (l *LAN) addressLocked(h *host) error {
	if l.addrs++; l.addrs >= maxHosts {
		return fmt.Errorf("out of addresses")
	}
	addr := fmt.Sprintf("10.%d.%d.%d", l.addrs>>16, l.addrs>>8&0xff, l.addrs&0xff)
	h.addr = addr
	for _, s := range l.cfg.Schemes {
		l.net.Move(hostName(h.name, s), addr, memory.Silently)
	}
	return nil
}

// start makes a process on a host.
func (l *LAN) start(h *host) *Node {
	l.t.Helper()
	n, err := l.newNode(h)
	if err == nil {
		err = n.Join(l.t.Context())
	}
	if err != nil {
		l.t.Fatalf("peertest: node %q: %v", h.name, err)
	}
	return n
}

// listenLocked returns where a host's node listens. What names no host is at the one that the LAN gave
// it: the node would tell others the addresses of the real one.
func (l *LAN) listenLocked(h *host) []string {
	if h.cfg.Listen == nil {
		var own []string
		for i, s := range l.cfg.Schemes {
			own = append(own, fmt.Sprintf("%s://%s:%d", s, h.addr, firstPort+i))
		}
		return own
	}
	listen := slices.Clone(h.cfg.Listen)
	for i, text := range listen {
		if a, err := transport.ParseAddr(text); err == nil && strings.HasPrefix(a.Host, ":") {
			a.Host = h.addr + a.Host
			listen[i] = a.String()
		}
	}
	return listen
}

func (l *LAN) newNode(h *host) (*Node, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wires.add(h.name)
	cfg := h.cfg
	h.trs = make(transport.Router)
	for _, s := range l.cfg.Schemes {
		h.trs[s] = schemed(s, l.net.Transport(memory.Config{Key: h.key, Host: hostName(h.name, s)}))
	}
	cfg.Transport = h.trs
	cfg.Listen = l.listenLocked(h)
	if h.own {
		h.station = l.bus.station(h.name)
		cfg.Discovery = []discovery.Discovery{h.station}
	}
	node, err := peer.New(cfg)
	if err != nil {
		_ = h.trs.Close()
		return nil, err
	}
	h.node = newNode(l, h, node)
	return h.node, nil
}
