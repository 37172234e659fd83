package main

import (
	"context"
	"net"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// newPipes is kith over the pipes that start makes; nil for the end that was
// started. A pipe between parent and child is private to the two, so they use it
// in plaintext; elsewhere give each end a Key instead.
func newPipes(start func(ctx context.Context) (netconn.Pipe, error)) *netconn.Transport {
	return netconn.New(netconn.Config{
		Scheme:    "child",
		Plaintext: true,
		Dial: func(ctx context.Context, _ transport.Addr) (net.Conn, error) {
			p, err := start(ctx)
			if err != nil {
				return nil, err
			}
			return netconn.PipeConn(p), nil
		},
	})
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
