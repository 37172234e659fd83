package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/fx"
)

const libp2pPath = "github.com/libp2p/go-libp2p"

// libp2p's own protocol negotiation and identify are part of it; relays, NAT traversal,
// metrics, the resource manager and the connection manager are off.
var (
	libp2pTLS = libp2pSystem("libp2p-tls", "go-libp2p over TCP, TLS and yamux, a stream per call", "/ip4/%s/tcp/%s",
		tcp.NewTCPTransport, config.Security{ID: libp2ptls.ID, Constructor: libp2ptls.New})
	libp2pNoise = libp2pSystem("libp2p-noise", "go-libp2p over TCP, noise and yamux, a stream per call", "/ip4/%s/tcp/%s",
		tcp.NewTCPTransport, config.Security{ID: noise.ID, Constructor: noise.New})
	libp2pQUIC = libp2pSystem("libp2p-quic", "go-libp2p over QUIC, a stream per call", "/ip4/%s/udp/%s/quic-v1",
		libp2pquic.NewTransport)
)

const libp2pProtocol = protocol.ID("/bench/1.0.0")

// libp2pSystem is a host that listens at the multiaddr that format makes of an IP
// address and a port, and hosts that dial it. Its addresses are ID@HOST:PORT.
func libp2pSystem(name, what, format string, newTransport any, security ...config.Security) system {
	newHost := func(listen ...multiaddr.Multiaddr) (host.Host, error) {
		return libp2pHost(newTransport, security, listen...)
	}
	hosts := &libp2pHosts{make: newHost}
	return system{
		name: name, what: what, path: libp2pPath,
		serve: func(addr string) (server, error) {
			if addr == "" {
				addr = "127.0.0.1:0"
			}
			return libp2pServe(addr, format, newHost)
		},
		dial: func(ctx context.Context, addr string) (client, error) {
			return hosts.dial(ctx, addr, format)
		},
		prepare: hosts.prepare,
		end:     hosts.end,
	}
}

// libp2pHost does what libp2p.New does, whose package does not build: it links a
// WebTransport that does not know this version of quic-go.
func libp2pHost(newTransport any, security []config.Security, listen ...multiaddr.Multiaddr) (host.Host, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	ps, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	private := network.ReachabilityPrivate // nothing is asked to find that out
	cfg := &config.Config{
		PeerKey: key, Peerstore: ps, ListenAddrs: listen,
		Transports: []fx.Option{fx.Provide(fx.Annotate(newTransport,
			fx.As(new(transport.Transport)), fx.ResultTags(`group:"transport"`)))},
		SecurityTransports: security,
		Muxers:             []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}},
		// Identify would tell the way around the delay that stands before a server.
		AddrsFactory:    func([]multiaddr.Multiaddr) []multiaddr.Multiaddr { return nil },
		ResourceManager: &network.NullResourceManager{}, // the default one refuses as many streams and connections
		ConnManager:     connmgr.NullConnMgr{},          // the default one closes idle connections beyond 192
		AutoNATConfig:   config.AutoNATConfig{ForceReachability: &private},
		DisableMetrics:  true,
	}
	return cfg.NewNode()
}

// libp2pAddr returns the multiaddr of host:port.
func libp2pAddr(addr, format string) (multiaddr.Multiaddr, error) {
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return multiaddr.NewMultiaddr(fmt.Sprintf(format, ip, port))
}

// A libp2pServer is a host that listens.
type libp2pServer struct {
	host.Host
	addr string
}

func libp2pServe(addr, format string, newHost func(...multiaddr.Multiaddr) (host.Host, error)) (server, error) {
	m, err := libp2pAddr(addr, format)
	if err != nil {
		return nil, err
	}
	h, err := newHost(m)
	if err != nil {
		return nil, err
	}
	h.SetStreamHandler(libp2pProtocol, func(s network.Stream) { muxHandler(s) })
	// It listens at one address, which has a host and a port.
	_, at, err := manet.DialArgs(h.Network().ListenAddresses()[0])
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &libp2pServer{h, h.ID().String() + "@" + at}, nil
}

func (s *libp2pServer) Addr() string { return s.addr }

// libp2pHosts are the hosts of a run's clients. Between two hosts there is one connection,
// so a client has a host to itself while it is connected, and the next one takes it over:
// a program has one host for all its connections, whose price is not theirs.
type libp2pHosts struct {
	make func(...multiaddr.Multiaddr) (host.Host, error)

	mu   sync.Mutex
	all  []host.Host // guarded by mu
	free []host.Host // guarded by mu
}

// get returns a host that no client has.
func (l *libp2pHosts) get() (host.Host, error) {
	if h := l.takeFree(); h != nil {
		return h, nil
	}
	h, err := l.make()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, h)
	return h, nil
}

// takeFree returns nil if there is none.
func (l *libp2pHosts) takeFree() host.Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		return nil
	}
	h := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return h
}

func (l *libp2pHosts) put(h host.Host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, h)
}

// prepare makes hosts until n are free.
func (l *libp2pHosts) prepare(n int) error {
	var hosts []host.Host
	defer func() {
		for _, h := range hosts {
			l.put(h)
		}
	}()
	for range n {
		h, err := l.get()
		if err != nil {
			return err
		}
		hosts = append(hosts, h)
	}
	return nil
}

// end closes all hosts.
func (l *libp2pHosts) end() error {
	l.mu.Lock()
	all := l.all
	l.all, l.free = nil, nil
	l.mu.Unlock()
	var errs []error
	for _, h := range all {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

// dial connects a host to the one at ID@HOST:PORT.
func (l *libp2pHosts) dial(ctx context.Context, addr, format string) (client, error) {
	name, at, _ := strings.Cut(addr, "@")
	id, err := peer.Decode(name)
	if err != nil {
		return nil, err
	}
	m, err := libp2pAddr(at, format)
	if err != nil {
		return nil, err
	}
	h, err := l.get()
	if err != nil {
		return nil, err
	}
	// Identify, at the end of the host's last connection, forgets addresses that are known for
	// a time: also one that Connect has just been given.
	h.Peerstore().AddAddr(id, m, peerstore.PermanentAddrTTL)
	if err := h.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
		l.put(h)
		return nil, err
	}
	return &muxClient{&muxSession{
		open: func(ctx context.Context) (muxStream, error) {
			return muxStreamOf(h.NewStream(ctx, id, libp2pProtocol))
		},
		close: func() error {
			err := h.Network().ClosePeer(id)
			l.put(h)
			return err
		},
	}}, nil
}
