// Package netconn makes a kith transport out of anything like a net.Conn:
// functions that dial and listen, or a single pipe.
//
// What it adds is a secure channel (kith's mutual TLS 1.3, unless plaintext is
// asked for by name), streams over it, limits on unfinished handshakes, and
// the rules of package transport.
package netconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// A ProtocolError says that the other side of a link does not speak kith, or
// not in this form. It has the fields Got, the first bytes that came, and Hint,
// what they look like, such as "TLS" or "HTTP"; empty if unknown.
type ProtocolError = mux.PrefaceError

// Config says how a [Transport] reaches others and how it is secured. Its
// limits are zero for the default and negative for none.
type Config struct {
	// Scheme is the scheme of the transport's addresses, lower-case.
	Scheme string

	// Dial connects to an address. It must honour ctx. If nil, the transport
	// only listens. What it returns keeps the rules of a [Pipe]; [PipeConn] makes a
	// net.Conn of a pipe that is none.
	Dial func(ctx context.Context, a transport.Addr) (net.Conn, error)

	// Listen listens at an address. If nil, the transport only dials.
	Listen func(ctx context.Context, a transport.Addr) (net.Listener, error)

	// Addr turns the address of a listener or of an end of a connection into
	// the Host and Path of the transport's own. If nil, the name of a
	// [net.UnixAddr] is the path, and any other address's text the host.
	Addr func(net.Addr) transport.Addr

	// Key is the identity of this end. If nil, a new one is made for this
	// process, and said in the log.
	Key *kith.Key

	// TLS, if not nil, replaces proof by identity with certificates in the
	// classical way: it says what this end shows and whom it trusts. It is
	// cloned; TLS 1.3 and the protocol kith/1 are set. Key supplies the
	// certificate if it has none.
	TLS *tls.Config

	// Plaintext makes connections without TLS: nothing is secret, nothing
	// is proven, and whoever is on the way can change anything. It is for pipes
	// that are trusted as they are, and for measuring.
	Plaintext bool

	// HandshakeTimeout is how long a handshake may take. If zero, 5 seconds.
	HandshakeTimeout time.Duration

	// MaxHandshakes is how many accepted connections a listener holds that
	// Accept did not return yet. Above, the one whose handshake began first is
	// dropped. If zero, 1,024.
	MaxHandshakes int

	// MaxHandshakesPerSource is the same for one IPv4 address, or /56 network
	// of IPv6 addresses; those that HandshakeRate lets wait are dropped first. If
	// zero, 64.
	MaxHandshakesPerSource int

	// HandshakeRate is how many TLS handshakes a second a listener begins with
	// one such source, after a pause up to 64 at once; further ones wait, and count
	// for the limits above. If zero, 200. In plaintext there are 16 times as many.
	HandshakeRate int

	// MaxStreams is how many streams the other side of a connection may have
	// open. If zero, 1,024; less than 16 means 16.
	MaxStreams int

	// Logger gets failed handshakes, ten a second at most. If nil, nothing
	// is logged.
	Logger *slog.Logger
}

const (
	defaultHandshakeTimeout = 5 * time.Second
	defaultHandshakes       = 1024
	defaultPerSource        = 64
)

// withDefaults fills in what is zero.
func (cfg Config) withDefaults() Config {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Addr == nil {
		cfg.Addr = defaultAddr
	}
	if cfg.Key == nil && cfg.TLS == nil && !cfg.Plaintext {
		cfg.Key = kith.NewKey()
		cfg.Logger.Info("new identity for this process", "scheme", cfg.Scheme, "id", cfg.Key.ID())
	}
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = defaultHandshakeTimeout
	}
	if cfg.MaxHandshakes == 0 {
		cfg.MaxHandshakes = defaultHandshakes
	}
	if cfg.MaxHandshakesPerSource == 0 {
		cfg.MaxHandshakesPerSource = defaultPerSource
	}
	if cfg.HandshakeRate == 0 {
		cfg.HandshakeRate = defaultHandshakeRate
	}
	return cfg
}

// A Transport implements [transport.Transport]. Get one with [New]. Its
// methods may be called from any number of goroutines. [Transport.Close] ends
// all its listeners and connections, and joins their goroutines: one for each
// listener, one for each connection in its handshake, and those of the
// connections.
type Transport struct {
	cfg    Config
	holder identity.Holder
	log    *gate

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu        sync.Mutex
	closed    bool // guarded by mu, like what follows
	listeners map[*listener]struct{}
	conns     map[*mux.Conn]struct{}
}

// New makes a transport. cfg is copied.
func New(cfg Config) *Transport {
	cfg = cfg.withDefaults()
	t := &Transport{
		cfg:       cfg,
		holder:    identity.Holder{Key: cfg.Key},
		log:       newGate(cfg.Logger, cfg.Scheme),
		listeners: make(map[*listener]struct{}),
		conns:     make(map[*mux.Conn]struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// ID returns the identity of this end, zero if it has none.
func (t *Transport) ID() kith.ID {
	if t.cfg.Key == nil || t.cfg.TLS != nil || t.cfg.Plaintext {
		return kith.ID{}
	}
	return t.cfg.Key.ID()
}

// Dial implements [transport.Transport].
func (t *Transport) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	c, err := t.dial(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("dial %v: %w", a, err)
	}
	return c, nil
}

func (t *Transport) dial(ctx context.Context, a transport.Addr) (*mux.Conn, error) {
	if t.cfg.Dial == nil {
		return nil, errors.New("this transport only listens")
	}
	cfg, err := t.clientTLS(a)
	if err != nil {
		return nil, err
	}
	dctx, done, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	raw, err := t.cfg.Dial(dctx, a)
	if err != nil {
		return nil, t.closedOr(ctxOr(ctx, err))
	}
	return t.client(dctx, raw, a, cfg)
}

// Client makes a connection of one existing pipe, as the end that dials, to
// whoever a names; its host and path are only text then. The other end calls
// [Transport.Server]. The end of ctx ends only the handshake. Client owns rw,
// also if it fails. Close of rw must unblock its Read and Write: that of
// [os.Stdin] and of [os.Stdout] does not, as package os leaves them in blocking
// mode.
func (t *Transport) Client(ctx context.Context, rw Pipe, a transport.Addr) (transport.Conn, error) {
	c, err := t.wrapClient(ctx, rw, a)
	if err != nil {
		_ = rw.Close()
		return nil, fmt.Errorf("connect pipe to %v: %w", a, err)
	}
	return c, nil
}

func (t *Transport) wrapClient(ctx context.Context, rw Pipe, a transport.Addr) (*mux.Conn, error) {
	cfg, err := t.clientTLS(a)
	if err != nil {
		return nil, err
	}
	ctx, done, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return t.client(ctx, rw, a, cfg)
}

// Server makes a connection of one existing pipe, as the end that accepts. The
// end of ctx ends only the handshake. Server owns rw, like [Transport.Client].
func (t *Transport) Server(ctx context.Context, rw Pipe) (transport.Conn, error) {
	c, err := t.wrapServer(ctx, rw)
	if err != nil {
		_ = rw.Close()
		return nil, fmt.Errorf("accept on pipe: %w", err)
	}
	return c, nil
}

func (t *Transport) wrapServer(ctx context.Context, rw Pipe) (*mux.Conn, error) {
	cfg, err := t.serverTLS()
	if err != nil {
		return nil, err
	}
	ctx, done, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	link, info, err := t.secure(ctx, rw, cfg, false)
	if err != nil {
		refuse(rw, t.cfg.Plaintext, err)
		return nil, t.closedOr(err)
	}
	return t.newConn(link, info)
}

// begin returns a ctx that also ends with the transport.
func (t *Transport) begin(ctx context.Context) (context.Context, func(), error) {
	if t.ctx.Err() != nil {
		return nil, nil, transport.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err // before anything is started
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.ctx, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

// closedOr replaces the error of what failed because the transport was closed.
func (t *Transport) closedOr(err error) error {
	if t.ctx.Err() != nil {
		return transport.ErrClosed
	}
	return err
}

// ctxOr makes the error of what ctx ended match ctx.Err(): package net has
// errors of its own for that, and may be a moment faster than ctx.
func ctxOr(ctx context.Context, err error) error {
	cause := ctx.Err()
	if end, ok := ctx.Deadline(); ok && cause == nil && !time.Now().Before(end) {
		cause = context.DeadlineExceeded
	}
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%v)", cause, err)
}

// newConn makes a link a connection of the transport.
func (t *Transport) newConn(link Pipe, info transport.Info) (*mux.Conn, error) {
	var c *mux.Conn
	c = mux.New(link, mux.Config{
		Dialed:     info.Dialed,
		Info:       info,
		MaxStreams: t.cfg.MaxStreams,
		// In plaintext the prefaces are the handshake, see greet.
		SentPreface: info.TLS == nil && info.Dialed,
		ReadPreface: info.TLS == nil && !info.Dialed,
		TimedReads:  systemSocket(link),
		LinkCode:    alertCode,
		OnEnd:       func() { t.forget(c) },
	})
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.conns[c] = struct{}{}
	}
	t.mu.Unlock()
	if closed {
		_ = c.CloseWithError(kith.Unavailable, "transport closed")
		return nil, transport.ErrClosed
	}
	return c, nil
}

func (t *Transport) forget(c *mux.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// Close implements [transport.Transport]. The other sides are told that this
// one is not available.
func (t *Transport) Close() error {
	t.cancel()
	t.mu.Lock()
	t.closed = true
	var lns []*listener
	for l := range t.listeners {
		lns = append(lns, l)
	}
	var conns []*mux.Conn
	for c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range lns {
		_ = l.Close()
	}
	for _, c := range conns {
		wg.Add(1)
		// Each may take a second to say goodbye; Close waits for all.
		go closeHandler(c, &wg)
	}
	wg.Wait()
	return nil
}

func closeHandler(c *mux.Conn, wg *sync.WaitGroup) {
	defer wg.Done()
	_ = c.CloseWithError(kith.Unavailable, "transport closed")
}

// clientTLS returns the config to dial a with, nil for plaintext. It fails
// where nothing says who may answer.
func (t *Transport) clientTLS(a transport.Addr) (*tls.Config, error) {
	switch {
	case t.cfg.Plaintext && t.cfg.TLS != nil:
		return nil, errBoth
	case t.cfg.Plaintext && !a.ID.IsZero():
		return nil, fmt.Errorf("plaintext proves no identity: %w", &transport.PeerError{Want: a.ID})
	case t.cfg.Plaintext:
		return nil, nil
	case t.cfg.TLS == nil && a.ID.IsZero():
		return nil, transport.ErrNoIdentity
	case t.cfg.TLS == nil:
		return t.holder.ClientTLS(a.ID)
	}
	cfg, err := identity.CustomTLS(t.cfg.TLS, t.cfg.Key, false)
	if err == nil && cfg.ServerName == "" {
		cfg.ServerName, _ = a.SplitHostPort()
	}
	return cfg, err
}

// serverTLS returns the config to accept with, nil for plaintext.
func (t *Transport) serverTLS() (*tls.Config, error) {
	switch {
	case t.cfg.Plaintext && t.cfg.TLS != nil:
		return nil, errBoth
	case t.cfg.Plaintext:
		return nil, nil
	case t.cfg.TLS == nil:
		return t.holder.ServerTLS()
	}
	return identity.CustomTLS(t.cfg.TLS, t.cfg.Key, true)
}

var errBoth = errors.New("both TLS and Plaintext are configured")
