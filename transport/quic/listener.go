package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// A listener accepts connections on a socket of its own. See
// [transport.Listener]. It runs no goroutine.
type listener struct {
	sock *socket // holds one reference until closed
	ql   *quicgo.Listener
	tls  *tls.Config
	addr transport.Addr
	gate gate

	closed bool          // guarded by sock.t.mu; nothing is accepted any more
	done   chan struct{} // closed by Close when all has ended
}

// Listen listens at a.Host, host:port; without a host on all addresses, and
// without a port on any free one.
func (t *Transport) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	l, err := t.listen(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("listen %v: %w", a, err)
	}
	return l, nil
}

func (t *Transport) listen(ctx context.Context, a transport.Addr) (*listener, error) {
	if err := checkAddr(a); err != nil {
		return nil, err
	}
	if err := t.add(func() {}); err != nil {
		return nil, err
	}
	conf, err := t.serverTLS()
	if err != nil {
		return nil, err
	}
	host, port := a.SplitHostPort()
	sock, err := t.openSocket(ctx, "udp", net.JoinHostPort(host, strconv.Itoa(int(port))), newTag())
	if err != nil {
		return nil, err
	}
	l := &listener{
		sock: sock,
		tls:  conf,
		addr: sock.dialAddr(t.servedID()),
		gate: gate{
			max:       t.cfg.MaxHandshakes,
			maxSource: t.cfg.MaxHandshakesPerSource,
			sources:   make(map[string]int),
		},
		done: make(chan struct{}),
	}
	sock.listener.Store(l)
	if l.ql, err = sock.quic.Listen(conf, t.quic); err == nil {
		err = t.add(func() { t.listeners[l] = struct{}{} })
	}
	if err != nil {
		sock.release()
		return nil, err
	}
	return l, nil
}

// checkAddr refuses addresses of another kind.
func checkAddr(a transport.Addr) error {
	if a.Scheme != "" && a.Scheme != Scheme {
		return fmt.Errorf("scheme %q, want %q", a.Scheme, Scheme)
	}
	if a.Path != "" {
		return fmt.Errorf("path %q in an address that has none", a.Path)
	}
	// SplitHostPort reads a port that is none as 0, which to a listener is any.
	if _, port, err := net.SplitHostPort(a.Host); err == nil && port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("port %q is no number up to 65535", port)
		}
	}
	return nil
}

func (t *Transport) serverTLS() (*tls.Config, error) {
	if t.cfg.TLS != nil {
		return identity.CustomTLS(t.cfg.TLS, t.cfg.Key, true)
	}
	return t.holder.ServerTLS()
}

// servedID returns the ID by which listeners can be dialled: zero if it is
// another certificate that they show.
func (t *Transport) servedID() kith.ID {
	if c := t.cfg.TLS; c != nil &&
		(t.cfg.Key == nil || len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil) {
		return kith.ID{}
	}
	return t.key.ID()
}

// dialAddr returns the address that reaches the socket from this host.
func (s *socket) dialAddr(id kith.ID) transport.Addr {
	a := transport.Addr{Scheme: Scheme, ID: id, Host: hostOf(s.pc.LocalAddr())}
	if ip := s.local.Addr(); ip.IsValid() && ip.IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if ip.Is6() && !hasIPv4() {
			loopback = netip.IPv6Loopback()
		}
		a.Host = netip.AddrPortFrom(loopback, s.local.Port()).String()
	}
	return a
}

func (l *listener) Addr() transport.Addr { return l.addr }

func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	for {
		qc, err := l.ql.Accept(ctx)
		if err != nil {
			if err == ctx.Err() {
				return nil, fmt.Errorf("accept: %w", err)
			}
			if errors.Is(err, quicgo.ErrServerClosed) {
				return nil, fmt.Errorf("accept: %w", transport.ErrClosed)
			}
			return nil, fmt.Errorf("accept: %w: %w", transport.ErrClosed, err) // the socket failed
		}
		if c := l.adopt(qc); c != nil {
			return c, nil
		}
	}
}

// adopt makes a Conn of an accepted connection. It returns nil, and closes the
// connection, if nothing may be accepted any more.
func (l *listener) adopt(qc *quicgo.Conn) *conn {
	n := newcomerOf(qc)
	if !n.accepted() {
		return nil // it ended while it waited
	}
	t := l.sock.t
	t.mu.Lock()
	open := !l.closed && l.sock.retainLocked()
	t.mu.Unlock()
	if !open {
		n.refuse(qc, "listener closed")
		return nil
	}
	local := l.sock.localAddr(qc.LocalAddr())
	local.ID = l.addr.ID
	c, err := l.sock.newConn(qc, &n.share, local, false)
	if err != nil {
		n.refuse(qc, "not acceptable")
		l.sock.release()
		t.handshakeFailed(qc.RemoteAddr(), err)
		return nil
	}
	return c
}

func (l *listener) Close() error {
	t := l.sock.t
	t.mu.Lock()
	if l.closed {
		t.mu.Unlock()
		<-l.done
		return nil
	}
	l.closed = true
	t.mu.Unlock()

	l.sock.listener.Store(nil)
	_ = l.ql.Close() // refuses the handshakes in progress, and waits for that
	for {
		qc, err := l.ql.Accept(context.Background())
		if err != nil {
			break // there are none left
		}
		if n := newcomerOf(qc); n.accepted() {
			n.refuse(qc, "listener closed")
		}
	}
	t.mu.Lock()
	others := l.sock.refs > 1
	t.mu.Unlock()
	if others {
		l.sock.refuseNewcomers(l)
	}
	l.sock.release()
	t.mu.Lock()
	delete(t.listeners, l)
	t.mu.Unlock()
	close(l.done)
	return nil
}

// VerifiesClients implements [transport.ClientVerifier].
func (l *listener) VerifiesClients() bool { return l.tls.ClientAuth >= tls.VerifyClientCertIfGiven }
