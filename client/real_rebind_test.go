package client_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
)

// A router forwards UDP packets between one client and a server, as a home's
// router does: the server sees an address of the router's, which changes.
type router struct {
	t      *testing.T
	inside net.PacketConn
	server *net.UDPAddr
	loops  sync.WaitGroup

	mu      sync.Mutex
	outside *net.UDPConn // guarded by mu
	client  net.Addr     // guarded by mu
}

func newRouter(t *testing.T, server string) *router {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	r := &router{t: t, server: to}
	if r.inside, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.move()
	r.loops.Go(r.outLoop)
	t.Cleanup(func() {
		_ = r.inside.Close()
		r.mu.Lock()
		_ = r.outside.Close()
		r.mu.Unlock()
		r.loops.Wait()
	})
	return r
}

// move gives the client another address, as the server sees it, and forgets
// the old one: what is sent there gets lost.
func (r *router) move() {
	r.t.Helper()
	c, err := net.DialUDP("udp", nil, r.server)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	old := r.outside
	r.outside = c
	r.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	r.loops.Go(func() { r.inLoop(c) })
}

// outLoop forwards to the server until inside is closed.
func (r *router) outLoop() {
	b := make([]byte, 2048)
	for {
		n, from, err := r.inside.ReadFrom(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.client = from
		out := r.outside
		r.mu.Unlock()
		_, _ = out.Write(b[:n]) // lost, if it was closed meanwhile
	}
}

// inLoop forwards to the client until c is closed.
func (r *router) inLoop(c *net.UDPConn) {
	b := make([]byte, 2048)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		to := r.client
		r.mu.Unlock()
		_, _ = r.inside.WriteTo(b[:n], to)
	}
}

// A client's address changes under its QUIC connection, in the middle of a
// call: the call is answered, and the next ones go over the same connection.
func TestRealRebind(t *testing.T) {
	server := quic.New(quic.Config{})
	t.Cleanup(func() { _ = server.Close() })
	begun, release := make(chan struct{}, 1), make(chan struct{})
	s := serve(t, server, "127.0.0.1:0", func(s *testServer) {
		slow.Handle(s.cfg.Handlers, func(context.Context, time.Duration) (string, error) {
			begun <- struct{}{}
			<-release
			return "done", nil
		})
	})
	r := newRouter(t, s.l.Addr().Host)
	dialer := quic.New(quic.Config{})
	t.Cleanup(func() { _ = dialer.Close() })
	at := transport.Addr{Scheme: quic.Scheme, ID: s.l.Addr().ID, Host: r.inside.LocalAddr().String()}
	c := dial(t, client.Config{Transport: dialer, Addrs: []string{at.String()}})
	outcome := make(chan error, 1)
	go func() {
		_, err := slow.Call(t.Context(), c, 0)
		outcome <- err
	}()
	<-begun
	r.move()
	start := time.Now()
	close(release) // the answer goes to the old address first
	for range 3 {
		if _, err := echo.Call(t.Context(), c, []byte("moved")); err != nil {
			t.Errorf("Call after the move = %v, want nil", err)
		}
		r.move()
	}
	if err := <-outcome; err != nil {
		t.Errorf("Call during the move = %v, want nil", err)
	}
	t.Logf("four moves in %v", time.Since(start).Round(time.Millisecond))
	if st := c.Stats(); s.accepted.Load() != 1 || st.Drops != 0 {
		t.Errorf("%d connections, Stats() = %+v, want the one that there was", s.accepted.Load(), st)
	}
}
