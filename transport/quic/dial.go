package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// Dial connects to a.Host, host:port. The addresses of a name are tried one
// after the other, IPv6 and IPv4 by turns, each with a short head start. An
// address that does not answer is given up after five seconds, or at once with
// an error matching syscall.ECONNREFUSED where the other host says that nobody
// listens at the port; empty packets ask it.
func (t *Transport) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	c, err := t.dial(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("dial %v: %w", a, err)
	}
	return c, nil
}

func (t *Transport) dial(ctx context.Context, a transport.Addr) (*conn, error) {
	if err := checkAddr(a); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conf, err := t.clientTLS(a)
	if err != nil {
		return nil, err
	}
	d := &dialing{t: t, addr: a, tls: conf}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	err = t.add(func() {
		t.dials[d] = cancel
		t.work.Add(1)
	})
	if err != nil {
		return nil, err
	}
	defer d.end()
	c, err := d.run(own)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case own.Err() != nil:
		return nil, transport.ErrClosed
	}
	return nil, err
}

// clientTLS returns how to tell who may answer at a.
func (t *Transport) clientTLS(a transport.Addr) (*tls.Config, error) {
	switch {
	case !a.ID.IsZero():
		return t.holder.ClientTLS(a.ID)
	case t.cfg.TLS == nil:
		return nil, transport.ErrNoIdentity
	}
	conf, err := identity.CustomTLS(t.cfg.TLS, t.cfg.Key, false)
	if err != nil {
		return nil, err
	}
	if conf.ServerName == "" {
		conf.ServerName, _ = a.SplitHostPort()
	}
	return conf, nil
}

// A dialing is one Dial in progress.
type dialing struct {
	t    *Transport
	addr transport.Addr
	tls  *tls.Config
}

func (d *dialing) end() {
	d.t.mu.Lock()
	delete(d.t.dials, d)
	d.t.mu.Unlock()
	d.t.work.Done()
}

func (d *dialing) run(ctx context.Context) (*conn, error) {
	addrs, err := resolve(ctx, d.addr)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 1 {
		return d.attempt(ctx, addrs[0])
	}
	return d.race(ctx, addrs)
}

// attempt tries one address, once more if the socket turns out to be broken.
func (d *dialing) attempt(ctx context.Context, to netip.AddrPort) (*conn, error) {
	for again := true; ; again = false {
		sock, err := d.t.socketTo(ctx, to.Addr())
		if err != nil {
			return nil, err
		}
		c, err := d.over(ctx, sock, to)
		if err == nil {
			return c, nil
		}
		broken := errors.Is(err, quicgo.ErrTransportClosed) && d.t.discard(sock)
		sock.release()
		if !broken || !again {
			return nil, err
		}
	}
}

// over tries one address from one socket. The connection takes over the
// reference to it.
func (d *dialing) over(ctx context.Context, sock *socket, to netip.AddrPort) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	local := sock.localAddr(sock.pc.LocalAddr())
	if _, ok := sock.pc.(*udpSocket); ok {
		p, err := newProbe(to, cancel)
		if err != nil {
			return nil, err
		}
		defer p.close()
		if sock.local.Addr().IsUnspecified() {
			local.Host = netip.AddrPortFrom(p.from, sock.local.Port()).String()
		}
	}
	if d.t.cfg.TLS == nil || !d.addr.ID.IsZero() {
		local.ID = d.t.key.ID()
	}
	sh := new(share)
	qc, err := sock.quic.Dial(context.WithValue(ctx, shareKey{}, sh), net.UDPAddrFromAddrPort(to), d.tls, d.t.quic)
	if err != nil {
		sh.giveBack()
		return nil, dialError(err)
	}
	c, err := sock.newConn(qc, sh, local, true)
	if err != nil {
		_ = qc.CloseWithError(0, "")
		sh.giveBack()
		return nil, err
	}
	return c, nil
}

// socketTo returns a socket from which to dial an address, with a reference to
// it: that of a listener where possible, since the other side can dial that.
func (t *Transport) socketTo(ctx context.Context, to netip.Addr) (*socket, error) {
	network, wildcard := "udp4", "0.0.0.0:0"
	if to.Is6() {
		network, wildcard = "udp6", "[::]:0"
	}
	t.mu.Lock()
	s := t.socketToLocked(to, network)
	t.mu.Unlock()
	if s != nil {
		return s, nil
	}
	made, err := t.openSocket(ctx, network, wildcard, nil) // the reference is for dialers
	if err != nil {
		return nil, err
	}
	err = t.add(func() {
		if s = t.socketToLocked(to, network); s == nil { // nobody was quicker
			t.dialers[network] = made
			s = made
			s.refs++
		}
	})
	if s != made {
		made.release()
	}
	return s, err
}

func (t *Transport) socketToLocked(to netip.Addr, network string) *socket {
	for l := range t.listeners {
		if !l.closed && !l.sock.broken && l.sock.reaches(to) && l.sock.retainLocked() {
			return l.sock
		}
	}
	if s := t.dialers[network]; s != nil && s.retainLocked() {
		return s
	}
	return nil
}

// discard sees to it that a socket that failed is used for no more dials. It
// reports false if the transport is closed, which looks the same.
func (t *Transport) discard(s *socket) bool {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return false
	}
	s.broken = true
	last := false
	for network, d := range t.dialers {
		if d == s {
			delete(t.dialers, network)
			last = true
		}
	}
	t.mu.Unlock()
	if last {
		s.release() // that of dialers
	}
	return true
}
