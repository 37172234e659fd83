package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// newPipes is kith over pipes. One between parent and child is private to the
// two, so they use it in plaintext; elsewhere give each end a Key instead.
func newPipes() *netconn.Transport {
	return netconn.New(netconn.Config{Scheme: "child", Plaintext: true})
}

// A parent is the transport of the end that dials: each connection has a pipe
// of its own. All else is done by netconn.
type parent struct {
	*netconn.Transport
	start  func(ctx context.Context) (netconn.Pipe, error) // makes a pipe with somebody at its other end
	closed atomic.Bool
}

// Dial implements [transport.Transport].
func (t *parent) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	err := ctx.Err()
	if t.closed.Load() {
		err = transport.ErrClosed
	}
	if err != nil { // before anything is started
		return nil, fmt.Errorf("dial %v: %w", a, err)
	}
	p, err := t.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial %v: %w", a, err)
	}
	return t.Client(ctx, p, a) // owns the pipe
}

// Close implements [transport.Transport].
func (t *parent) Close() error {
	t.closed.Store(true)
	return t.Transport.Close()
}

// A listener hands out connections that were made otherwise. It is all that a
// server needs to serve them.
type listener struct {
	conns   chan transport.Conn
	done    chan struct{} // closed by Close
	closing sync.Once
}

// newListener makes a listener with at most one connection in it.
func newListener(c ...transport.Conn) *listener {
	l := &listener{conns: make(chan transport.Conn, 1), done: make(chan struct{})}
	for _, c := range c {
		l.conns <- c
	}
	return l
}

// Accept implements [transport.Listener].
func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	select {
	case <-l.done:
		return nil, transport.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, transport.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Addr implements [transport.Listener].
func (l *listener) Addr() transport.Addr { return transport.Addr{Scheme: "child", Host: "greeter"} }

// Close implements [transport.Listener].
func (l *listener) Close() error {
	l.closing.Do(func() { close(l.done) })
	select {
	case c := <-l.conns:
		return c.CloseWithError(kith.Unavailable, "nobody accepted")
	default:
		return nil
	}
}
