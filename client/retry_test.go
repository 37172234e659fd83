package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// While one server drains and its successor takes over, again and again, every
// call is answered, and runs once.
func TestDrainHandover(t *testing.T) {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	names := []string{"a", "b"}
	cur := serve(t, tr, names[0], nil)
	c := newClient(t, client.Config{
		Transport: tr, Addrs: []string{"memory://a", "memory://b"}, BackoffBase: time.Nanosecond,
	})
	var answered atomic.Int64
	stop, failed := make(chan struct{}), make(chan struct{}, 50)
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			size := 100
			if i%10 == 0 {
				size = 100 << 10
			}
			p := make([]byte, size)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := echo.Call(t.Context(), c, p, kith.WaitForReady()); err != nil {
					t.Errorf("Call = %v", err)
					failed <- struct{}{}
					return
				}
				answered.Add(1)
			}
		})
	}
	var ran int64
	for i := range 20 {
		next := serve(t, tr, names[(i+1)%2], nil)
		select {
		case <-cur.busy:
		case <-failed:
			close(stop)
			callers.Wait()
			t.Fatalf("a call failed after %d restarts", i)
		}
		cur.shutdown(t)
		ran += cur.ran.Load()
		cur = next
	}
	close(stop)
	callers.Wait()
	if ran += cur.ran.Load(); ran != answered.Load() {
		t.Errorf("%d calls ran, %d were answered", ran, answered.Load())
	}
	t.Logf("%d calls, %+v", ran, c.Stats())
}

// A stream that was open goes on over the connection that drains, while new
// calls go out on another.
func TestDrainLeavesStreams(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		a := serve(t, w.host("a"), "a", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://a", "memory://b"}})
		d, err := chat.Call(t.Context(), c)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		serve(t, w.host("b"), "b", nil)
		time.Sleep(time.Minute)
		drained := make(chan struct{})
		go func() { defer close(drained); a.shutdown(t) }()
		time.Sleep(time.Second)
		callWhere(t, c, "b")
		if st := c.Stats(); st.Conns != 2 || st.Retries != 1 {
			t.Errorf("Stats() = %+v, want 2 connections, 1 retry", st)
		}
		if err := d.Send("x"); err != nil {
			t.Errorf("Send = %v", err)
		}
		if got, err := d.Recv(); got != "xx" || err != nil {
			t.Errorf("Recv() = %q, %v, want %q", got, err, "xx")
		}
		d.Close()
		<-drained
		time.Sleep(time.Second)
		if st := c.Stats(); st.Conns != 1 || st.Drops != 0 {
			t.Errorf("Stats() = %+v, want 1 connection", st)
		}
	})
}

// A server that says that it drains and then never closes does not keep its
// connection.
func TestDrainThatNeverEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		a := serve(t, w.host("a"), "a", nil)
		b := serve(t, w.host("b"), "b", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://a", "memory://b"}})
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = a.all()[0].Drain(ctx) // announces, and does not close
		time.Sleep(time.Second)
		callWhere(t, c, "b")
		time.Sleep(2 * time.Minute)
		if st := c.Stats(); st.Conns != 1 || b.accepted.Load() != 1 {
			t.Errorf("Stats() = %+v, want 1 connection", st)
		}
	})
}

// dropping is a middleware of the server's that ends the connection under the
// first n calls.
func dropping(s *testServer, n int64) kith.Middleware {
	var calls atomic.Int64
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			if calls.Add(1) <= n {
				s.drop()
			}
			return next(ctx, c)
		}
	}
}

// A call whose fate is unknown is not repeated, unless it is idempotent.
func TestLostCalls(t *testing.T) {
	for _, tc := range []struct {
		method *kith.UnaryMethod[[]byte, []byte]
		size   int
		drops  int64
		ran    int64
		ok     bool
	}{
		{echo, 10, 1, 1, false},
		{echo, 100 << 10, 1, 1, false},
		{again, 10, 1, 2, true},
		{again, 100 << 10, 2, 3, true},
		{again, 10, 3, 3, false},
	} {
		inWorld(t, func(t *testing.T, w world) {
			s := serve(t, w.host("srv"), "srv", func(s *testServer) {
				s.cfg.Handlers.Use(dropping(s, tc.drops))
			})
			c := dial(t, client.Config{
				Transport: w.tr, Addrs: []string{"memory://srv"}, Admit: admit.Anyone(), BackoffBase: time.Nanosecond,
			})
			_, err := tc.method.Call(t.Context(), c, make([]byte, tc.size))
			if ok := err == nil; ok != tc.ok || s.ran.Load() != tc.ran {
				t.Errorf("%s of %d bytes, %d drops: %v, ran %d times, want %d", tc.method.Name(), tc.size, tc.drops, err, s.ran.Load(), tc.ran)
			}
			var ce *transport.ConnError
			if err != nil && (kith.Unprocessed(err) || kith.Remote(err) || kith.CodeOf(err) != kith.Unavailable || !errors.As(err, &ce)) {
				t.Errorf("Call = %v, want Unavailable, a lost connection, unknown fate", err)
			}
			if n := strings.Count(errText(err), "over memory://"); err != nil && n != int(tc.ran) {
				t.Errorf("Call = %v, want it to list %d tries", err, tc.ran)
			}
			if got := c.Stats().Retries; got != uint64(tc.ran)-1 {
				t.Errorf("Stats().Retries = %d, want %d", got, tc.ran-1)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Retries of calls that were sent are limited.
func TestRetryBudget(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", func(s *testServer) {
			s.cfg.Handlers = new(kith.Handlers)
			again.Handle(s.cfg.Handlers, func(ctx context.Context, _ []byte) ([]byte, error) {
				s.ran.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			})
		})
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		const calls = 1000
		var callers sync.WaitGroup
		var failed atomic.Int64
		for range calls {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if _, err := again.Call(ctx, c, nil); kith.CodeOf(err) == kith.Unavailable {
					failed.Add(1)
				}
			})
		}
		time.Sleep(time.Second)
		s.drop()
		time.Sleep(10 * time.Second)
		// A fifth of the calls, ten at the start, ten of the first second.
		if st := c.Stats(); st.Retries < 200 || st.Retries > 230 || s.ran.Load() != calls+int64(st.Retries) {
			t.Errorf("Stats() = %+v, %d ran, want about 220 retries", st, s.ran.Load())
		}
		callers.Wait()
		if n := failed.Load(); n != calls-int64(c.Stats().Retries) {
			t.Errorf("%d calls failed as lost, want all but the retries", n)
		}
	})
}

// A call that a full server turned away is tried again after a pause, and what
// it says in the end is the server's word.
func TestTurnedAway(t *testing.T) {
	full := kith.NewError(kith.ResourceExhausted, "full", "come back later").Refusal()
	denied := kith.NewError(kith.PermissionDenied, "denied", "never").Refusal()
	for _, tc := range []struct {
		refusal *kith.Error
		times   int64
		tries   int64
		ok      bool
	}{{full, 2, 3, true}, {full, 100, 3, false}, {denied, 1, 1, false}} {
		inWorld(t, func(t *testing.T, w world) {
			var tries atomic.Int64
			serve(t, w.host("srv"), "srv", func(s *testServer) {
				s.cfg.Handlers.Use(func(next kith.Handler) kith.Handler {
					return func(ctx context.Context, c kith.Call) error {
						if tries.Add(1) <= tc.times {
							return tc.refusal
						}
						return next(ctx, c)
					}
				})
			})
			c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
			_, err := echo.Call(t.Context(), c, nil)
			if ok := err == nil; ok != tc.ok || tries.Load() != tc.tries {
				t.Errorf("%v %d times: Call = %v after %d tries, want %d", tc.refusal, tc.times, err, tries.Load(), tc.tries)
			}
			if err != nil && (!errors.Is(err, tc.refusal) || !kith.Remote(err) || !kith.Unprocessed(err)) {
				t.Errorf("Call = %v, want remote %v", err, tc.refusal)
			}
		})
	}
}

// A message over the server's limit is refused for good.
func TestTooLargeIsNotRetried(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", func(s *testServer) { s.cfg.MaxMessage = 100 })
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		_, err := again.Call(t.Context(), c, make([]byte, 200)) // follows hello, whose answer tells the limit
		if kith.CodeOf(err) != kith.ResourceExhausted || !kith.Remote(err) || c.Stats().Retries != 0 {
			t.Errorf("Call = %v after %d retries, want ResourceExhausted after none", err, c.Stats().Retries)
		}
	})
}

// A server that is full, or stopping, is passed over in favour of another.
func TestFullServer(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("a"), "a", func(s *testServer) {
			s.cfg.Admit = refusing{kith.NewError(kith.ResourceExhausted, "too_many_connections", "full").Refusal()}
		})
		serve(t, w.host("b"), "b", nil)
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://a", "memory://b"}})
		callWhere(t, c, "b")
		c2 := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://a", "memory://b"}})
		got := 0
		for n, err := range count.Call(t.Context(), c2, 3) {
			if err != nil {
				t.Errorf("count yields %v", err)
			}
			got += n
		}
		if got != 3 {
			t.Errorf("count's sum = %d, want 3", got)
		}
	})
}
