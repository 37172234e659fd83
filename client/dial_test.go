package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestConfig(t *testing.T) {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	for _, tc := range []struct {
		cfg  client.Config
		want string
	}{
		{client.Config{Addrs: []string{"memory://a"}}, "no Transport"},
		{client.Config{Transport: tr}, "no Addrs"},
		{client.Config{Transport: tr, Addrs: []string{"memory://a", "memory://b:c:d"}}, "b:c:d"},
		{client.Config{Transport: tr, Addrs: []string{"memory://a"}, BackoffBase: -1}, "negative backoff"},
		{client.Config{Transport: tr, Addrs: []string{"memory://a"}, Codecs: []kith.Codec{kith.JSON}}, "two codecs"},
		{client.Config{Transport: tr, Addrs: []string{"memory://a"}, Middleware: []kith.Middleware{nil}}, "nil Middleware"},
	} {
		c, err := client.New(tc.cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("New(%+v) = %v, %v, want an error with %q", tc.cfg, c, err, tc.want)
		}
	}
}

// New does nothing on the network; the first call connects. If it is idempotent,
// its frame follows hello in the same flight.
func TestLazy(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		time.Sleep(time.Minute)
		if n := s.accepted.Load(); n != 0 || c.Stats().State != client.Idle || c.Peer() != nil {
			t.Fatalf("%d connections before the first call, state %v", n, c.Stats().State)
		}
		start := time.Now()
		if _, err := again.Call(t.Context(), c, nil); err != nil || time.Since(start) != 20*time.Millisecond {
			t.Errorf("the first call: %v after %v, want two round trips, 20ms", err, time.Since(start))
		}
		st := c.Stats()
		if st.State != client.Connected || st.Dials != 1 || st.Conns != 1 || st.Addr.Host != "srv" {
			t.Errorf("Stats() = %+v", st)
		}
		if p := c.Peer(); p == nil || p.ID != s.l.Addr().ID {
			t.Errorf("Peer() = %v, want %v", p, s.l.Addr().ID)
		}
	})
}

// credulous is a transport that checks nothing.
type credulous struct{ transport.Transport }

func (c credulous) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	return c.Transport.Dial(ctx, a.WithID(kith.ID{}))
}

// fromTheFuture listens as a server of another protocol version does.
func fromTheFuture(t *testing.T, tr transport.Transport, name string) {
	l, err := tr.Listen(t.Context(), transport.Addr{Host: name})
	if err != nil {
		t.Fatalf("Listen = %v", err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			st, err := conn.AcceptStream(context.Background())
			if err != nil {
				continue
			}
			h := wire.Hello{Version: 99}
			_, _ = st.Write(wire.EndLane(h.Append(wire.AppendLane(nil, wire.FrameWelcome)), 0))
			<-conn.Context().Done()
			_ = conn.CloseWithError(kith.OK, "")
		}
	}()
}

func TestDialErrors(t *testing.T) {
	stranger := kith.NewKey().ID()
	for _, tc := range []struct {
		name  string
		setup func(t *testing.T, w world) client.Config
		check func(t *testing.T, err error)
		code  kith.Code
	}{
		{
			name: "nobody there",
			setup: func(t *testing.T, w world) client.Config {
				return client.Config{Transport: w.tr, Addrs: []string{"memory://x:1", "memory://y:2"}}
			},
			check: func(t *testing.T, err error) {
				var de *client.DialError
				if !errors.As(err, &de) || len(de.Attempts) != 2 {
					t.Fatalf("Dial = %v, want a DialError of two attempts", err)
				}
				if !errors.Is(err, memory.ErrRefused) {
					t.Errorf("Dial = %v, want %v", err, memory.ErrRefused)
				}
				for _, part := range []string{"memory://x:1 tried at 00:00:00.000", "memory://y:2", "refused"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("Dial = %q, want it to say %q", err, part)
					}
				}
			},
			code: kith.Unavailable,
		},
		{
			name: "no answer",
			setup: func(t *testing.T, w world) client.Config {
				serve(t, w.host("srv"), "srv", nil)
				w.net.Partition("home", "srv")
				return client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, DialTimeout: time.Second}
			},
			check: func(t *testing.T, err error) {
				if errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 1s") {
					t.Errorf("Dial = %v, want no answer within 1s, and no error of a ctx", err)
				}
			},
			code: kith.Unavailable,
		},
		{
			name: "wrong peer",
			setup: func(t *testing.T, w world) client.Config {
				serve(t, w.host("srv"), "srv", nil)
				return client.Config{Transport: credulous{w.tr}, Addrs: []string{"memory://" + stranger.String() + "@srv"}}
			},
			check: func(t *testing.T, err error) {
				var pe *transport.PeerError
				if !errors.As(err, &pe) || pe.Want != stranger {
					t.Errorf("Dial = %v, want a PeerError", err)
				}
			},
			code: kith.Unauthenticated,
		},
		{
			name: "refused by the server",
			setup: func(t *testing.T, w world) client.Config {
				serve(t, w.host("srv"), "srv", func(s *testServer) { s.cfg.Admit = admit.Pins(stranger) })
				return client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}}
			},
			check: func(t *testing.T, err error) {
				if !kith.Remote(err) || !errors.Is(err, admit.ErrRefused) {
					t.Errorf("Dial = %v, want remote %v", err, admit.ErrRefused)
				}
			},
			code: kith.PermissionDenied,
		},
		{
			name: "server not admitted",
			setup: func(t *testing.T, w world) client.Config {
				serve(t, w.host("srv"), "srv", nil)
				return client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Admit: admit.Pins(stranger)}
			},
			check: func(t *testing.T, err error) {
				if kith.Remote(err) {
					t.Errorf("Dial = %v, want one that is not remote", err)
				}
			},
			code: kith.PermissionDenied,
		},
		{
			name: "other version",
			setup: func(t *testing.T, w world) client.Config {
				fromTheFuture(t, w.host("srv"), "srv")
				return client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}}
			},
			check: func(t *testing.T, err error) {
				if !strings.Contains(err.Error(), "version 99") {
					t.Errorf("Dial = %v, want it to name the version", err)
				}
			},
			code: kith.FailedPrecondition,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				cfg := tc.setup(t, w)
				c, err := client.Dial(t.Context(), cfg)
				if err == nil {
					c.Close()
					t.Fatalf("Dial succeeded")
				}
				tc.check(t, err)
				if code := kith.CodeOf(err); code != tc.code || !kith.Unprocessed(err) {
					t.Errorf("Dial = %v: code %v, unprocessed %v, want %v, true", err, code, kith.Unprocessed(err), tc.code)
				}
				// A call of a lazy client fails alike, also if it was sent already.
				for _, method := range []*kith.UnaryMethod[[]byte, []byte]{echo, again} {
					_, err = method.Call(t.Context(), newClient(t, cfg), []byte("hi"))
					if tc.check(t, err); kith.CodeOf(err) != tc.code || !kith.Unprocessed(err) {
						t.Errorf("%s = %v: code %v, unprocessed %v, want %v, true", method.Name(), err, kith.CodeOf(err), kith.Unprocessed(err), tc.code)
					}
				}
			})
		})
	}
}

// Addresses are tried in turn, the one that worked last first; after a drain,
// the one that drains last.
func TestSeveralAddresses(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		a := serve(t, w.host("a"), "a", func(s *testServer) { s.cfg.Admit = admit.Pins(kith.NewKey().ID()) })
		b := serve(t, w.host("b"), "b", nil)
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://nobody", "memory://a", "memory://b", "memory://d"}})
		callWhere(t, c, "b")
		if st := c.Stats(); st.Dials != 3 || st.Failures != 2 || st.LastErr != nil {
			t.Errorf("Stats() = %+v, want 3 dials and 2 failures", st)
		}
		time.Sleep(time.Minute)
		b.drop()
		time.Sleep(time.Second)
		callWhere(t, c, "b")
		if st := c.Stats(); st.Dials != 4 || st.Drops != 1 {
			t.Errorf("Stats() = %+v, want the 4th dial to succeed", st)
		}
		d := serve(t, w.host("d"), "d", nil)
		time.Sleep(time.Minute)
		b.shutdown(t)
		callWhere(t, c, "d")
		if st := c.Stats(); st.Dials != 5 || st.Drops != 1 || a.accepted.Load() != 1 || d.accepted.Load() != 1 {
			t.Errorf("Stats() = %+v, want the 5th dial to succeed", st)
		}
	})
}

// All callers share one attempt; the end of one's ctx is its own affair.
func TestDialIsShared(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		w.net.Partition("home", "srv")
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		const callers = 100
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				ctx := t.Context()
				if i == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				_, err := echo.Call(ctx, c, nil)
				errs <- err
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		err := <-errs
		if !errors.Is(err, context.DeadlineExceeded) || kith.Remote(err) || !kith.Unprocessed(err) ||
			!strings.Contains(err.Error(), "memory://srv tried at 00:00:00.000 for 1s: no answer yet") {
			t.Errorf("Call = %v, want one whose ctx ended and that says what is being tried", err)
		}
		if st := c.Stats(); st.Waiters != callers-1 || st.Dials != 1 || st.State != client.Connecting {
			t.Errorf("Stats() = %+v, want %d waiters and 1 dial", st, callers-1)
		}
		w.net.Heal("home", "srv")
		for range callers - 1 {
			if err := <-errs; err != nil {
				t.Errorf("Call = %v", err)
			}
		}
		if n := s.accepted.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

func TestDialHonoursCtx(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		w.net.Partition("home", "srv")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.Dial(ctx, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "memory://srv") || time.Since(start) != time.Second {
			t.Errorf("Dial = %v after %v, want the ctx's error after 1s", err, time.Since(start))
		}
	})
}

// The hello of a server that says nothing ends with the dial timeout.
func TestSilentHello(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		l, err := w.host("srv").Listen(t.Context(), transport.Addr{Host: "srv"})
		if err != nil {
			t.Fatalf("Listen = %v", err)
		}
		defer l.Close()
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		for method, unprocessed := range map[*kith.UnaryMethod[[]byte, []byte]]bool{echo: true, again: false} {
			start := time.Now()
			_, err = method.Call(t.Context(), c, nil)
			if kith.CodeOf(err) != kith.Unavailable || kith.Unprocessed(err) != unprocessed || time.Since(start).Round(time.Second) != 10*time.Second {
				t.Errorf("%s = %v after %v, want Unavailable after 10s, unprocessed %v: %v", method.Name(), err, time.Since(start), unprocessed, kith.Unprocessed(err))
			}
			time.Sleep(time.Minute)
		}
		conn, err := l.Accept(t.Context())
		if err == nil {
			_ = conn.CloseWithError(kith.OK, "")
		}
	})
}

// While the client backs off, calls fail at once with what was tried; one that
// waits for ready waits; pauses grow, and are short again after a success.
func TestBackoff(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		tr := w.host("srv")
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, BackoffBase: time.Second, BackoffMax: 8 * time.Second})
		_, first := echo.Call(t.Context(), c, nil)
		_, second := echo.Call(t.Context(), c, nil)
		var a, b *client.DialError
		if !errors.As(first, &a) || !errors.As(second, &b) || a != b || !kith.Unprocessed(second) {
			t.Fatalf("Call = %v, then %v, want the same DialError", first, second)
		}
		if st := c.Stats(); st.Dials != 1 || st.State != client.Waiting || st.LastErr != error(a) {
			t.Errorf("Stats() = %+v, want 1 dial", st)
		}
		ready := make(chan error, 1)
		go func() {
			_, err := echo.Call(t.Context(), c, nil, kith.WaitForReady())
			ready <- err
		}()
		time.Sleep(time.Hour)
		dials := c.Stats().Dials
		if want := uint64(3600 / 4); dials < want*8/10 || dials > want*12/10 {
			t.Errorf("%d dials in an hour, want about %d: pauses of 4s on average", dials, want)
		}
		serve(t, tr, "srv", nil)
		if err := <-ready; err != nil {
			t.Errorf("Call with WaitForReady = %v", err)
		}
		callWhere(t, c, "srv")
	})
}

// Nobody waits any more: nothing is dialled any more.
func TestGivesUpWhenNobodyWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := echo.Call(ctx, c, nil, kith.WaitForReady())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") || kith.CodeOf(err) != kith.DeadlineExceeded {
			t.Errorf("Call = %v, want the ctx's error, and what was tried", err)
		}
		before := c.Stats().Dials
		time.Sleep(time.Hour)
		if after := c.Stats(); after.Dials != before || after.State != client.Idle {
			t.Errorf("Stats() = %+v, want %d dials, idle", after, before)
		}
	})
}

// A method's timeout covers the wait for a connection.
func TestMethodTimeout(t *testing.T) {
	unary := kith.Unary[[]byte, []byte]("test/Unary", kith.Timeout(3*time.Second))
	stream := kith.Bidi[[]byte, []byte]("test/Stream", kith.Timeout(3*time.Second))
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		w.net.Partition("home", "srv")
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		start := time.Now()
		_, err := unary.Call(t.Context(), c, nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Call = %v after %v, want the deadline's error after 3s", err, time.Since(start))
		}
		start = time.Now()
		_, err = stream.Call(t.Context(), c)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Call = %v after %v, want the deadline's error after 3s", err, time.Since(start))
		}
	})
}
