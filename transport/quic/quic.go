// Package quic is a [transport.Transport] over QUIC, with native streams.
//
// Addresses are quic://ID@host:port. In key mode, which is the default, both
// ends prove the identity of a [kith.Key], and the ID in the dialled address
// says who must answer. In CA mode ([Config.TLS]) certificates decide. An
// address with an ID is dialled in key mode even so: one key is the stronger
// demand.
//
// One UDP socket serves a listener and the connections that are dialled while
// it listens, so that others see the node at one port. A Transport that only
// dials has one socket for each of IPv4 and IPv6, made at the first need.
//
// A listener's socket outlives the listener while connections use it, because
// a QUIC connection has no socket of its own. Until they end, newcomers are
// refused at once and the port is taken; then the socket closes, and the port
// is free for a successor. Closing the Transport ends all that at once.
//
// What is worth knowing of QUIC: closing a connection drops what was written
// and not sent, so let the other side say that it has everything first. Streams
// share the connection's window of 1 MiB, which grows with use: streams that
// are full and not read take room from the others. Keep-alive is off; a
// connection of which nothing is heard for 90 seconds is lost.
package quic

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/internal/ration"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// Scheme is the scheme of the addresses.
const Scheme = "quic"

// Defaults of [Config].
const (
	defaultMaxStreams             = 1024
	defaultMaxHandshakes          = 1024
	defaultMaxHandshakesPerSource = 64
)

// A Config configures [New]. The zero value is a fresh identity in key mode.
type Config struct {
	// Key is the identity. If nil, a fresh one in key mode, which is logged;
	// in CA mode, one that is only used to dial addresses with an ID.
	Key *kith.Key

	// TLS, if not nil, is CA mode: it decides who is trusted, for listening
	// and for dialling addresses without an ID, whose host is the expected
	// name unless TLS.ServerName is set. It is cloned; the protocol is always
	// [transport.ALPN], the version TLS 1.3, and tickets are off. Where it has
	// no certificate, Key supplies one.
	TLS *tls.Config

	// Logger gets failed handshakes, a few per second at most, and the ID of a
	// fresh Key. If nil, nothing is logged.
	Logger *slog.Logger

	// MaxStreams is how many streams the other side of a connection may have
	// open. One counts until it is finished by both sides. If zero, 1024. If
	// negative, no limit.
	MaxStreams int

	// MaxHandshakes is how many handshakes with clients may be in progress at
	// one listener; above it newcomers are refused. From a quarter of it on,
	// they must prove that they can receive at their address first. If zero,
	// 1024. If negative, no limit.
	MaxHandshakes int

	// MaxHandshakesPerSource does the same for one IPv4 address or one IPv6
	// network of 56 bits, behind which there may be many clients. If zero, 64.
	// If negative, no limit. Unless it is negative, packets of handshakes beyond
	// 16,000 a second from one such source are dropped, as if lost on the way, by the
	// system's sockets; those of connections are not.
	MaxHandshakesPerSource int

	// ListenPacket makes sockets: network is udp, udp4 or udp6, and address is
	// what net.ListenPacket takes. The Transport closes them. Addresses must
	// be of type *net.UDPAddr. If nil, the system's sockets.
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)
}

// A Transport listens and dials with one identity. Get one from [New], and
// Close it when it is no longer needed. Its methods may be called at once from
// any number of goroutines. Goroutines run for a Dial in progress, for each
// socket (three, five with a listener) and each connection (two).
type Transport struct {
	cfg    Config
	key    *kith.Key       // never nil
	holder identity.Holder // of key
	quic   *quicgo.Config
	log    *slog.Logger
	fail   ration.Lines // of messages about failed handshakes

	work sync.WaitGroup // Dials in progress, and conns until endHandler is done
	done chan struct{}  // closed by Close when all has ended

	mu        sync.Mutex
	closed    bool                            // guarded by mu; nothing is added any more
	dials     map[*dialing]context.CancelFunc // guarded by mu
	listeners map[*listener]struct{}          // guarded by mu; until their Close is through
	conns     map[*conn]struct{}              // guarded by mu
	dialers   map[string]*socket              // guarded by mu; sockets only for dialling, by network
}

var _ transport.Transport = (*Transport)(nil)

// New returns a transport. It makes no socket yet, and reports mistakes in cfg
// when it is used.
func New(cfg Config) *Transport {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = defaultMaxStreams
	}
	if cfg.MaxHandshakes == 0 {
		cfg.MaxHandshakes = defaultMaxHandshakes
	}
	if cfg.MaxHandshakesPerSource == 0 {
		cfg.MaxHandshakesPerSource = defaultMaxHandshakesPerSource
	}
	t := &Transport{
		cfg:       cfg,
		key:       cfg.Key,
		quic:      quicConfig(cfg.MaxStreams),
		log:       cfg.Logger,
		done:      make(chan struct{}),
		dials:     make(map[*dialing]context.CancelFunc),
		listeners: make(map[*listener]struct{}),
		conns:     make(map[*conn]struct{}),
		dialers:   make(map[string]*socket),
	}
	if t.key == nil {
		t.key = kith.NewKey()
		if cfg.TLS == nil {
			t.log.Info("fresh identity, as no key was configured", "id", t.key.ID())
		}
	}
	t.holder.Key = t.key
	return t
}

// ID returns the transport's identity in key mode.
func (t *Transport) ID() kith.ID { return t.key.ID() }

// Close ends the transport's listeners, connections and sockets, and Dials in
// progress with [transport.ErrClosed]. The other ends are told, once.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		<-t.done
		return nil
	}
	t.closed = true
	for _, cancel := range t.dials {
		cancel()
	}
	listeners := slices.Collect(maps.Keys(t.listeners))
	conns := slices.Collect(maps.Keys(t.conns))
	dialers := slices.Collect(maps.Values(t.dialers))
	t.mu.Unlock()

	for _, l := range listeners {
		_ = l.Close()
	}
	for _, c := range conns {
		_ = c.CloseWithError(kith.Unavailable, "transport closed")
	}
	t.work.Wait()
	for _, s := range dialers {
		s.release()
	}
	close(t.done)
	return nil
}

// add registers what the caller just made, unless the transport is closed.
func (t *Transport) add(do func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return transport.ErrClosed
	}
	do()
	return nil
}
