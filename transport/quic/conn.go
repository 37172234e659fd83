package quic

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// A conn is one end of a connection. See [transport.Conn]. It runs no goroutine
// but endHandler, when it ends; quic-go runs two for it.
type conn struct {
	qc    *quicgo.Conn
	sock  *socket // holds one reference
	share *share
	info  transport.Info

	ctx    context.Context
	cancel context.CancelCauseFunc

	accepting chan struct{} // holds a token while an AcceptStream is in quic-go
	resets    resets        // guarded by that token, but for what is atomic

	settle sync.Once
	err    *transport.ConnError // set by settle
	gone   chan struct{}        // closed by endHandler
}

// newConn takes over qc, whose handshake is complete, and a reference to sock.
// If it fails, the caller keeps both.
func (s *socket) newConn(qc *quicgo.Conn, sh *share, local transport.Addr, dialed bool) (*conn, error) {
	tls := qc.ConnectionState().TLS
	proven := identity.Peer
	if s.t.cfg.TLS == nil {
		proven = identity.Proven
	}
	peer, err := proven(&tls)
	if err != nil {
		return nil, err
	}
	binding, err := identity.Binding(&tls)
	if err != nil {
		return nil, err
	}
	c := &conn{
		qc:        qc,
		sock:      s,
		share:     sh,
		accepting: make(chan struct{}, 1),
		gone:      make(chan struct{}),
		info: transport.Info{
			Transport: Scheme,
			Local:     local,
			Remote:    transport.Addr{Scheme: Scheme, ID: peer, Host: hostOf(qc.RemoteAddr())},
			Peer:      peer,
			TLS:       &tls,
			Dialed:    dialed,
			Binding:   binding,
		},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	t := s.t
	err = t.add(func() {
		t.conns[c] = struct{}{}
		t.work.Add(1)
	})
	if err != nil {
		return nil, err
	}
	// Begins at the end of the connection; Transport.Close waits for it.
	context.AfterFunc(qc.Context(), c.endHandler)
	return c, nil
}

// endHandler does what is to be done when the connection has ended.
func (c *conn) endHandler() {
	_ = c.ended()
	t := c.sock.t
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
	c.sock.release()
	close(c.gone)
	t.work.Done()
}

// ended returns how the connection ended, once it has.
func (c *conn) ended() *transport.ConnError {
	c.settle.Do(func() {
		c.err = connError(context.Cause(c.qc.Context()))
		c.share.giveBack()
		c.cancel(c.err)
	})
	return c.err
}

func (c *conn) OpenStream(ctx context.Context) (transport.Stream, error) {
	qs, err := c.qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, c.failure(ctx, "open stream", err)
	}
	return &stream{conn: c, qs: qs}, nil
}

func (c *conn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	// Of several goroutines in quic-go's AcceptStream, one can sleep through
	// the arrival of its stream.
	select {
	case c.accepting <- struct{}{}:
	case <-ctx.Done():
		return nil, c.failure(ctx, "accept stream", ctx.Err())
	case <-c.qc.Context().Done():
		return nil, c.failure(ctx, "accept stream", nil)
	}
	c.resets.rest(ctx, c.qc.Context().Done())
	qs, err := c.qc.AcceptStream(ctx)
	<-c.accepting
	if err != nil {
		return nil, c.failure(ctx, "accept stream", err)
	}
	return &stream{conn: c, qs: qs}, nil
}

// failure says why op failed: the end of ctx if that is what err is, and else
// the end of the connection.
func (c *conn) failure(ctx context.Context, op string, err error) error {
	if err != nil && err == ctx.Err() && c.qc.Context().Err() == nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	<-c.qc.Context().Done() // quic-go tells its callers a moment before
	return fmt.Errorf("%s: %w", op, c.ended())
}

func (c *conn) Context() context.Context { return c.ctx }

func (c *conn) CloseWithError(code kith.Code, reason string) error {
	_ = c.qc.CloseWithError(quicgo.ApplicationErrorCode(code), reason[:min(len(reason), transport.MaxReason)])
	<-c.gone
	return nil
}

func (c *conn) Info() transport.Info {
	info := c.info
	if !info.Dialed { // the other end may have moved
		info.Remote.Host = hostOf(c.qc.RemoteAddr())
	}
	return info
}

// hostOf returns an address in the form that [transport.Addr] has.
func hostOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
