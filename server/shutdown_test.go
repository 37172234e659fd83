package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A graceful restart under load loses no call and runs none twice: what one
// server refuses as not processed, the other one takes.
func TestShutdownLosesNothing(t *testing.T) {
	const callers, clients, rounds = 1000, 10, 2
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		for range rounds {
			restart(t, tr, callers, clients)
		}
	})
}

var once = kith.Unary[string, []byte]("test/Once")

// ledger counts how often each call was executed.
type ledger struct {
	mu       sync.Mutex
	executed map[string]int // guarded by mu
}

func (l *ledger) handlers() *kith.Handlers {
	var h kith.Handlers
	once.Handle(&h, func(_ context.Context, id string) ([]byte, error) {
		l.mu.Lock()
		l.executed[id]++
		l.mu.Unlock()
		if strings.HasSuffix(id, "7/0") {
			return make([]byte, 20<<10), nil // does not fit the lane
		}
		return nil, nil
	})
	return &h
}

func restart(t *testing.T, tr transport.Transport, callers, clients int) {
	l := &ledger{executed: make(map[string]int)}
	old, next := start(t, tr, l.handlers(), nil), start(t, tr, l.handlers(), nil)
	conns := make([][2]*session.Session, clients)
	for i := range conns {
		conns[i] = [2]*session.Session{old.dial(t), next.dial(t)}
	}
	var answered, moved atomic.Int64
	var started, all sync.WaitGroup
	// call makes one call, and reports whether it was the caller's last.
	call := func(c [2]*session.Session, id string) bool {
		_, err := once.Call(t.Context(), c[0], id)
		elsewhere := kith.Unprocessed(err)
		if elsewhere {
			moved.Add(1)
			_, err = once.Call(t.Context(), c[1], id)
		}
		if err != nil {
			t.Errorf("Call(%s) = %v", id, err)
		} else {
			answered.Add(1)
		}
		return err != nil || elsewhere
	}
	for caller := range callers {
		started.Add(1)
		all.Go(func() {
			last := call(conns[caller%clients], fmt.Sprint(caller, "/0"))
			started.Done()
			for n := 1; !last; n++ {
				last = call(conns[caller%clients], fmt.Sprint(caller, "/", n))
			}
		})
	}
	started.Wait()
	if err := old.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	all.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := int64(len(l.executed)); n != answered.Load() || moved.Load() != int64(callers) {
		t.Errorf("%d calls executed, %d answered, %d went elsewhere, want as many, and %d", n, answered.Load(), moved.Load(), callers)
	}
	for id, n := range l.executed {
		if n != 1 {
			t.Errorf("call %s was executed %d times", id, n)
		}
	}
	if err := <-old.served; !errors.Is(err, server.ErrClosed) {
		t.Errorf("Serve() = %v, want %v", err, server.ErrClosed)
	}
}

// What a client of the library makes of the same restart: each call is executed
// once and answered, or known not to have run where the client's budget for
// going elsewhere is spent.
func TestShutdownUnderClients(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		l := &ledger{executed: make(map[string]int)}
		old, next := start(t, tr, l.handlers(), nil), start(t, tr, l.handlers(), nil)
		var answered, refused atomic.Int64
		var started, all sync.WaitGroup
		stop := make(chan struct{})
		for i := range 10 {
			c, err := client.Dial(t.Context(), client.Config{Transport: tr, Addrs: []string{old.addr.String(), next.addr.String()}})
			if err != nil {
				t.Fatalf("client.Dial = %v", err)
			}
			defer c.Close()
			for k := range 10 {
				started.Add(1)
				all.Go(func() {
					for n := 0; ; n++ {
						_, err := once.Call(t.Context(), c, fmt.Sprint(i, "/", k, "/", n))
						switch {
						case err == nil:
							answered.Add(1)
						case kith.Unprocessed(err):
							refused.Add(1)
						default:
							t.Errorf("Call = %v", err)
						}
						if n == 0 {
							started.Done()
						}
						select {
						case <-stop:
							return
						default:
						}
					}
				})
			}
		}
		started.Wait()
		if err := old.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		close(stop)
		all.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		total := 0
		for _, n := range l.executed {
			total += n
		}
		if total != len(l.executed) || int64(total) != answered.Load() {
			t.Errorf("%d executions of %d calls, %d answered, %d refused", total, len(l.executed), answered.Load(), refused.Load())
		}
	})
}

// Clients that come all the time while the server ends are either let in, and
// then lose no call, or not.
func TestShutdownInStorm(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		r := start(t, tr, echoHandlers(), nil)
		// visit makes a connection and one call, and reports whether it got in.
		visit := func() bool {
			c, err := dialAt(t.Context(), tr, r.addr)
			if err != nil {
				return false
			}
			defer c.Close(kith.OK, "")
			if _, err := echo.Call(t.Context(), c, nil); err != nil && !kith.Unprocessed(err) {
				t.Errorf("Call = %v, want nil or an error that is unprocessed", err)
			}
			return true
		}
		var all, busy sync.WaitGroup
		for range 32 {
			busy.Add(1)
			all.Go(func() {
				for n, in := 0, true; in; n++ {
					in = visit()
					if n == 0 {
						busy.Done()
					}
				}
			})
		}
		busy.Wait()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		all.Wait()
	})
}

// Handlers learn of a drain and may finish, and are waited for.
func TestShutdownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h kith.Handlers
		hang.Handle(&h, func(ctx context.Context, _ string) (string, error) {
			<-kith.Draining(ctx)
			time.Sleep(3 * time.Second)
			return "done", nil
		})
		r := start(t, overMemory(t), &h, nil)
		c := r.dial(t)
		idle := r.dial(t)
		got := make(chan string, 1)
		go func() {
			s, err := hang.Call(t.Context(), c, "")
			if err != nil {
				t.Errorf("Call = %v", err)
			}
			got <- s
		}()
		synctest.Wait()
		begin := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := r.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown() = %v", err)
				}
			})
		}
		synctest.Wait()
		if idle.Err() == nil {
			t.Error("an idle connection is open while a handler of another is waited for")
		}
		if _, err := r.tryDial(t, r.tr); !errors.Is(err, memory.ErrRefused) {
			t.Errorf("dial in Shutdown = %v, want %v", err, memory.ErrRefused)
		}
		if _, err := hang.Call(t.Context(), c, ""); !kith.Unprocessed(err) {
			t.Errorf("Call in Shutdown = %v, want it unprocessed", err)
		}
		both.Wait()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("Shutdown took %v, want 3s", took)
		}
		if s := <-got; s != "done" {
			t.Errorf("Call = %q", s)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("another Shutdown() = %v", err)
		}
	})
}

func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started, release := make(chan string, 16), make(chan struct{})
		r := start(t, overMemory(t), hanging(started, release), nil)
		c, lost := r.dial(t), r.dial(t)
		for range 3 {
			go func() { _, _ = hang.Call(t.Context(), c, "for good") }()
			<-started
		}
		// One more handler hangs on a connection that is gone.
		go func() { _, _ = hang.Call(t.Context(), lost, "for good") }()
		<-started
		_ = lost.Close(kith.OK, "")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		err := r.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "still running: test/Hang (4 for up to 10s, called by ") {
			t.Errorf("Shutdown() = %v, want %v and four times test/Hang", err, context.DeadlineExceeded)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("Shutdown took %v, want 10s", took)
		}
		if st := r.Stats(); st.Conns != 0 || st.Calls != 4 {
			t.Errorf("Stats() = %+v, want no connections and 4 calls", st)
		}
		// Once more, it waits for them.
		go func() {
			time.Sleep(time.Second)
			close(release)
		}()
		if err := r.Shutdown(t.Context()); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Shutdown() again = %v, want %v", err, server.ErrClosed)
		}
		if took := time.Since(begin); took != 11*time.Second {
			t.Errorf("Shutdown again returned at %v, want 11s", took)
		}
	})
}

// A client that does not let go is named, too.
func TestShutdownOfDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		defer n.Close()
		r := start(t, n.Transport(memory.Config{Host: "s"}), echoHandlers(), nil)
		if _, err := r.tryDial(t, n.Transport(memory.Config{Host: "c"})); err != nil {
			t.Fatalf("dial = %v", err)
		}
		synctest.Wait()
		n.Stall("s", "c")
		defer n.Unstall("s", "c")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "let go: 1") {
			t.Errorf("Shutdown() = %v, want %v and that connection", err, context.DeadlineExceeded)
		}
	})
}

// A connection in its hello is refused with an error that lets its calls go
// elsewhere.
func TestShutdownRefusesHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		defer n.Close()
		r := start(t, n.Transport(memory.Config{Host: "s"}), echoHandlers(), nil)
		// The connection takes three half-seconds, and the hello another.
		n.SetLink("s", "c", memory.Link{Latency: 500 * time.Millisecond})
		result := make(chan error, 1)
		go func() {
			_, err := r.tryDial(t, n.Transport(memory.Config{Host: "c"}))
			result <- err
		}()
		time.Sleep(700 * time.Millisecond)
		if st := r.Stats(); st.Pending != 1 {
			t.Fatalf("Stats() = %+v, want one pending", st)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		if err := <-result; kith.CodeOf(err) != kith.Unavailable || !kith.Remote(err) || !kith.Unprocessed(err) {
			t.Errorf("dial = %v, want a remote Unavailable, unprocessed", err)
		}
		if st := r.Stats(); st.Limited != 1 {
			t.Errorf("Stats() = %+v, want one limited", st)
		}
	})
}

func TestCloseEndsAll(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		started := make(chan string, 64)
		r := start(t, tr, hanging(started, nil), nil)
		results := make(chan error, 20)
		for range 4 {
			c := r.dial(t)
			for range 5 {
				go func() { _, err := hang.Call(t.Context(), c, ""); results <- err }()
			}
		}
		r.silent(t, tr)
		for range 20 {
			<-started
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := r.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
		}
		all.Wait()
		for range 20 {
			if err := <-results; kith.CodeOf(err) != kith.Unavailable {
				t.Errorf("Call = %v, want %v", err, kith.Unavailable)
			}
		}
		// The handlers' ctx has ended: they return.
		if err := r.Shutdown(t.Context()); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Shutdown() after Close = %v, want %v", err, server.ErrClosed)
		}
	})
}
