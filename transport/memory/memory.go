// Package memory is a transport within one process, and a simulated network
// for tests.
//
// [New] is the plain case: one Transport to listen and to dial with. Several
// Transports meet on a [Network], on which links can be slow, stuck, parted or
// reset, and hosts can crash and move. Everything works in the virtual time of
// package testing/synctest: inside a bubble an hour of partition takes no time.
//
// Addresses are memory://ID@name. Each Transport has an identity, which both
// ends of a connection find in Info.Peer. There is no cryptography: whoever
// can reach the network is a part of this process, and is believed.
package memory

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// Scheme is the scheme of the addresses.
const Scheme = "memory"

// Defaults of [Config].
const (
	defaultMaxStreams = 1024
	defaultWindow     = 256 << 10
)

// A Config configures [New] and [Network.Transport]. The zero value is a fresh
// identity on a host of its own.
type Config struct {
	// Key is the identity; only its public half is used. If nil, a fresh one.
	Key *kith.Key

	// Host names the host for the faults of a [Network], and is what the names
	// of its listeners begin with. Several Transports may share a host, as
	// processes do. It must be fit to be the host of an address, without a
	// port. If empty, a name that no other host has.
	Host string

	// MaxStreams is how many streams the other side of a connection may have
	// open. If zero, 1024. If negative, no limit.
	MaxStreams int

	// Window is how many bytes of one stream may wait here to be read before
	// the other side's Write blocks; what is on its way counts too. All streams
	// of a connection together hold at most 16 KiB each and 16 MiB more in
	// each direction: beyond, their Writes block earlier. If zero, 256 KiB. If
	// negative, no limit at all.
	Window int
}

// A Transport is one process on one host of a [Network]: it listens and dials
// with one identity. Get one from [New] or [Network.Transport]. Its methods
// may be called at once from any number of goroutines. It runs none.
type Transport struct {
	net        *Network
	ownsNet    bool
	id         kith.ID
	host       string
	maxStreams int
	window     int
	done       chan struct{} // closed by end

	// Guarded by net.mu.
	closed    bool
	listeners map[*listener]struct{}
	conns     map[*conn]struct{}
}

var _ transport.Transport = (*Transport)(nil)

// New returns a transport on a network of its own: what listens there is
// dialled with the same Transport. Closing it closes the network. It panics
// if cfg.Host cannot stand in an address.
func New(cfg Config) *Transport {
	t := NewNetwork(NetworkConfig{}).Transport(cfg)
	t.ownsNet = true
	return t
}

// Transport returns a transport on the host cfg.Host. The caller closes it, or
// the network. It panics if cfg.Host cannot stand in an address.
func (n *Network) Transport(cfg Config) *Transport {
	if cfg.Host != "" {
		mustBeHost(cfg.Host)
	}
	if cfg.Key == nil {
		cfg.Key = kith.NewKey()
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = defaultMaxStreams
	}
	if cfg.Window == 0 {
		cfg.Window = defaultWindow
	}
	t := &Transport{
		net:        n,
		id:         cfg.Key.ID(),
		host:       cfg.Host,
		maxStreams: cfg.MaxStreams,
		window:     cfg.Window,
		done:       make(chan struct{}),
		listeners:  make(map[*listener]struct{}),
		conns:      make(map[*conn]struct{}),
	}
	n.mu.Lock()
	for i := len(n.hosts) + 1; t.host == ""; i++ {
		if name := "host" + strconv.Itoa(i); n.hosts[name] == nil {
			t.host = name
		}
	}
	n.host(t.host)
	closed := n.closed
	if !closed {
		n.transports[t] = struct{}{}
	}
	n.mu.Unlock()
	if closed {
		t.end()
	}
	return t
}

func mustBeHost(name string) {
	a, err := transport.ParseAddr(name)
	if _, _, withPort := net.SplitHostPort(name); err != nil || a.Host != name || withPort == nil {
		panic(fmt.Sprintf("memory: %q cannot be a host's name", name))
	}
}

// ID returns the transport's identity.
func (t *Transport) ID() kith.ID { return t.id }

// Network returns the network that the transport is on: with [New], its own.
func (t *Transport) Network() *Network { return t.net }

// Host returns the name of the transport's host.
func (t *Transport) Host() string { return t.host }

// Close ends the transport's listeners and connections, and Dials in progress
// with [transport.ErrClosed]. It is idempotent. Diallers elsewhere learn of it
// as the links allow.
func (t *Transport) Close() error {
	if t.ownsNet {
		return t.net.Close()
	}
	t.end()
	return nil
}

func (t *Transport) end() {
	t.net.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
	listeners := slices.Collect(maps.Keys(t.listeners))
	conns := slices.Collect(maps.Keys(t.conns))
	delete(t.net.transports, t)
	t.net.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	for _, c := range conns {
		_ = c.CloseWithError(kith.Unavailable, "transport closed")
	}
}
