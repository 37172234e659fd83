package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A client without handlers reconnects with the next call, one with handlers
// by itself.
func TestReconnect(t *testing.T) {
	for name, handlers := range map[string]*kith.Handlers{"on demand": nil, "by itself": new(kith.Handlers)} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				s := serve(t, w.host("srv"), "srv", nil)
				c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: handlers})
				time.Sleep(time.Minute)
				w.net.Reset("home", "srv")
				time.Sleep(time.Second)
				st := c.Stats()
				if connected := st.State == client.Connected; connected != (handlers != nil) || st.Drops != 1 {
					t.Errorf("Stats() = %+v", st)
				}
				callWhere(t, c, "srv")
				if n := s.accepted.Load(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			})
		})
	}
}

// A call that waits goes before the pause that spreads clients.
func TestCallNeedNotWait(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		c := dial(t, client.Config{
			Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: new(kith.Handlers), BackoffBase: 10 * time.Second,
		})
		time.Sleep(time.Minute)
		w.net.Reset("home", "srv")
		synctest.Wait()
		start := time.Now()
		callWhere(t, c, "srv")
		if took := time.Since(start); took != 30*time.Millisecond {
			t.Errorf("Call took %v, want three round trips, 30ms", took)
		}
	})
}

func TestServerRestarts(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{s.l.Addr().String()}})
		time.Sleep(time.Minute)
		w.net.Down("srv", memory.WithReset)
		if _, err := echo.Call(t.Context(), c, nil); kith.CodeOf(err) != kith.Unavailable {
			t.Errorf("Call = %v, want Unavailable", err)
		}
		ready := make(chan error, 1)
		go func() {
			_, err := echo.Call(t.Context(), c, nil, kith.WaitForReady())
			ready <- err
		}()
		time.Sleep(time.Minute)
		w.net.Up("srv")
		serve(t, s.transport(), "srv", nil)
		start := time.Now()
		if err := <-ready; err != nil || time.Since(start) > 30*time.Second {
			t.Errorf("Call with WaitForReady = %v after %v", err, time.Since(start))
		}
	})
}

// A server that accepts and then closes is not dialled in a loop.
func TestAcceptThenClose(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", func(s *testServer) { s.fickle = true })
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: new(kith.Handlers)})
		time.Sleep(10 * time.Minute)
		// Pauses double up to 30 s, half of that on average.
		if n := s.accepted.Load(); n < 20 || n > 80 {
			t.Errorf("%d connections in ten minutes, want about 45", n)
		}
		_, err := echo.Call(t.Context(), c, nil) // works if it happens to come in the right moment
		if err != nil && (kith.CodeOf(err) != kith.Unavailable || !strings.Contains(err.Error(), "dropped")) {
			t.Errorf("Call = %v, want Unavailable and the reason", err)
		}
		s.stop()
		serve(t, s.transport(), "srv", nil)
		time.Sleep(time.Minute)
		callWhere(t, c, "srv")
	})
}

// The short pause after one connection that did not last is waited out.
func TestEarlyLoss(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		for range 2 {
			s.drop()
			time.Sleep(time.Second)
			callWhere(t, c, "srv")
		}
		s.drop()
		time.Sleep(20 * time.Millisecond)
		if _, err := echo.Call(t.Context(), c, nil, kith.WaitForReady()); err != nil {
			t.Errorf("Call with WaitForReady = %v", err)
		}
	})
}

// Many clients that lose their server do not come back in the same second.
func TestNoHerd(t *testing.T) {
	const clients = 300
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		for range clients {
			dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: new(kith.Handlers)})
		}
		time.Sleep(time.Minute)
		s.stop()
		time.Sleep(time.Minute)
		s2 := serve(t, s.transport(), "srv", nil)
		var busiest, last int64
		for range 60 {
			time.Sleep(time.Second)
			n := s2.accepted.Load()
			busiest, last = max(busiest, n-last), n
		}
		if last != clients || busiest > clients*15/100 {
			t.Errorf("%d of %d clients came back in 60s, %d of them in the busiest second, want all, and at most 15%%", last, clients, busiest)
		}
		t.Logf("busiest second: %d of %d clients", busiest, clients)
	})
}

// An idle connection is closed, and the next call makes a new one.
func TestIdle(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Silence: -1})
		d, err := chat.Call(t.Context(), c)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		time.Sleep(time.Hour)
		if st := c.Stats(); st.State != client.Connected {
			t.Fatalf("Stats() = %+v, want connected while a stream is open", st)
		}
		d.Close()
		for range 10 { // calls keep it, even one each four minutes
			callWhere(t, c, "srv")
			time.Sleep(4 * time.Minute)
		}
		if n := s.accepted.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		time.Sleep(4 * time.Minute)
		if st := c.Stats(); st.State != client.Idle || st.Conns != 0 || st.Drops != 0 || len(s.all()[0].Serving()) != 0 {
			t.Errorf("Stats() = %+v, want idle after 5 minutes and a bit", st)
		}
		if err := s.all()[0].Err(); err == nil || !strings.Contains(err.Error(), "idle") {
			t.Errorf("the server's end: %v, want it to say idle", err)
		}
		start := time.Now()
		callWhere(t, c, "srv")
		if took := time.Since(start); took != 30*time.Millisecond {
			t.Errorf("Call took %v, want three round trips, 30ms", took)
		}
	})
}

// A client with handlers stays, unless it is told otherwise.
func TestIdleWithHandlers(t *testing.T) {
	for _, tc := range []struct {
		idle time.Duration
		want client.State
	}{{0, client.Connected}, {time.Minute, client.Idle}} {
		inWorld(t, func(t *testing.T, w world) {
			s := serve(t, w.host("srv"), "srv", nil)
			c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: new(kith.Handlers), IdleTimeout: tc.idle})
			time.Sleep(time.Hour)
			if st := c.Stats(); st.State != tc.want || s.accepted.Load() != 1 {
				t.Errorf("idle timeout %v: Stats() = %+v, %d connections, want %v, 1", tc.idle, st, s.accepted.Load(), tc.want)
			}
			callWhere(t, c, "srv")
		})
	}
}

// An idle connection is never closed over a call: each call runs once, though
// the connection is given up just as the call is made.
func TestIdleLosesNothing(t *testing.T) {
	s, c := pair(t, client.Config{}, nil)
	idle := make(chan struct{}) // the client has no call open, until a moment from now
	var idler sync.WaitGroup
	idler.Go(func() {
		for range idle {
			c.GiveUp()
		}
	})
	const calls = 2000
	for range calls {
		if _, err := echo.Call(t.Context(), c, nil); err != nil {
			t.Errorf("Call = %v", err)
		}
		idle <- struct{}{}
	}
	close(idle)
	idler.Wait()
	if n := s.ran.Load(); n != calls {
		t.Errorf("%d calls ran, want %d", n, calls)
	}
	t.Logf("%d connections", s.accepted.Load())
}

// A silent death is found out, and its calls' fate unknown.
func TestSilence(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Ping: time.Second, Silence: 3 * time.Second})
		time.Sleep(time.Minute)
		w.net.Partition("home", "srv")
		start := time.Now()
		_, err := echo.Call(t.Context(), c, nil)
		var ce *transport.ConnError
		if kith.Unprocessed(err) || kith.Remote(err) || !errors.As(err, &ce) || !strings.Contains(err.Error(), "over memory://") {
			t.Errorf("Call = %v, want a lost connection, its address, and unknown fate", err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("Call took %v, want at most 4s", took)
		}
		w.net.Heal("home", "srv")
		callWhere(t, c, "srv")
	})
}

// pair is a server and a client in real time.
func pair(t *testing.T, cfg client.Config, edit func(*testServer)) (*testServer, *client.Client) {
	tr := memory.New(memory.Config{})
	t.Cleanup(func() { _ = tr.Close() })
	s := serve(t, tr, "srv", edit)
	cfg.Transport, cfg.Addrs = tr, []string{s.l.Addr().String()}
	return s, newClient(t, cfg)
}

// The server calls back, while and after it was called.
func TestCalledBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		var h kith.Handlers
		where.Handle(&h, func(context.Context, string) (string, error) { return "home", nil })
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: &h})
		if got, err := where.Call(t.Context(), c, "back"); got != "home" || err != nil {
			t.Errorf("where.Call(back) = %q, %v, want %q", got, err, "home")
		}
		callWhere(t, s.all()[0], "home")
	})
}
