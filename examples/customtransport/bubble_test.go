package main

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/netconn"
)

// A desk is a net.Listener for connections within the process.
type desk struct {
	conns   chan net.Conn
	done    chan struct{} // closed by Close
	closing sync.Once
}

func newDesk() *desk { return &desk{conns: make(chan net.Conn), done: make(chan struct{})} }

func (d *desk) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *desk) Addr() net.Addr { return &net.UnixAddr{Net: "desk", Name: "/desk"} }

func (d *desk) Close() error {
	d.closing.Do(func() { close(d.done) })
	return nil
}

// dial hands one end of a pipe to Accept, and returns the other.
func (d *desk) dial(ctx context.Context, _ transport.Addr) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case d.conns <- far:
		return near, nil
	case <-d.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// In a bubble of testing/synctest a handler that takes a day takes no time, on
// a transport that waits by channels, timers and condition variables only.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk() // made in the bubble, as all that it waits for must be
		tr := netconn.New(netconn.Config{
			Scheme: "desk",
			Dial:   d.dial,
			Listen: func(context.Context, transport.Addr) (net.Listener, error) { return d, nil },
		})
		defer func() { _ = tr.Close() }()
		nap := kith.Unary[time.Duration, string]("desk/Nap")
		var h kith.Handlers
		nap.Handle(&h, func(_ context.Context, d time.Duration) (string, error) {
			time.Sleep(d)
			return "awake", nil
		})
		srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Pins(tr.ID())})
		if err != nil {
			t.Fatal(err)
		}
		l, err := tr.Listen(t.Context(), transport.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = srv.Serve(context.Background(), l) }()
		c, err := client.Dial(t.Context(), client.Config{Transport: tr, Addrs: []string{l.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()

		start := time.Now()
		if text, err := nap.Call(t.Context(), c, 24*time.Hour); text != "awake" || err != nil {
			t.Errorf("Nap(a day) = %q, %v, want awake", text, err)
		}
		if took := time.Since(start); took != 24*time.Hour {
			t.Errorf("Nap(a day) took %v", took)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v, want nil", err)
		}
	})
}
