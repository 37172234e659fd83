package client_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// overTransports runs f over each transport, with one for the servers and one
// for the client.
func overTransports(t *testing.T, f func(t *testing.T, servers, home transport.Transport)) {
	net := memory.NewNetwork(memory.NetworkConfig{})
	for name, make := range map[string]func() transport.Transport{
		"memory": func() transport.Transport { return net.Transport(memory.Config{}) },
		"tcp":    func() transport.Transport { return onLoopback{tcp.New(tcp.Config{})} },
		"quic":   func() transport.Transport { return onLoopback{quic.New(quic.Config{})} },
	} {
		t.Run(name, func(t *testing.T) {
			servers, home := make(), make()
			t.Cleanup(func() {
				_ = home.Close()
				_ = servers.Close()
			})
			f(t, servers, home)
		})
	}
}

// onLoopback listens at any free port, whatever name it is given.
type onLoopback struct{ transport.Transport }

func (o onLoopback) Listen(ctx context.Context, _ transport.Addr) (transport.Listener, error) {
	return o.Transport.Listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
}

func TestOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, servers, home transport.Transport) {
		a, b := serve(t, servers, "a", nil), serve(t, servers, "b", nil)
		c := newClient(t, client.Config{Transport: home, Addrs: []string{a.l.Addr().String(), b.l.Addr().String()}})
		callWhere(t, c, "a")
		if err := callSum(t, c, 1, 2, 3); err != nil {
			t.Errorf("sum.Call = %v", err)
		}
		if err := chatOnce(t, c); err != nil {
			t.Errorf("chat.Call = %v", err)
		}
		others := a.ran.Load() + 1 // and one more below
		var answered atomic.Int64
		var callers sync.WaitGroup
		stop, failed := make(chan struct{}), make(chan struct{}, 8)
		for range 8 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := echo.Call(t.Context(), c, make([]byte, 1000)); err != nil {
						t.Errorf("Call = %v", err)
						failed <- struct{}{}
						return
					}
					answered.Add(1)
				}
			})
		}
		select {
		case <-a.busy:
		case <-failed:
		}
		a.shutdown(t)
		callWhere(t, c, "b")
		close(stop)
		callers.Wait()
		if ran := a.ran.Load() + b.ran.Load() - others; ran != answered.Load() {
			t.Errorf("%d calls ran, %d were answered", ran, answered.Load())
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

// Who answers is checked over every transport.
func TestWrongPeerOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, servers, home transport.Transport) {
		s := serve(t, servers, "a", nil)
		addr := s.l.Addr().WithID(kith.NewKey().ID())
		c, err := client.Dial(t.Context(), client.Config{Transport: home, Addrs: []string{addr.String()}})
		if err == nil {
			_ = c.Close()
		}
		var pe *transport.PeerError
		if !errors.As(err, &pe) || pe.Want != addr.ID || pe.Got != s.l.Addr().ID {
			t.Errorf("Dial = %v, want a PeerError of the two IDs", err)
		}
	})
}
