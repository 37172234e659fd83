package client_test

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

var (
	echo  = kith.Unary[[]byte, []byte]("test/Echo")
	again = kith.Unary[[]byte, []byte]("test/Again", kith.Idempotent())
	where = kith.Unary[string, string]("test/Where")
	hang  = kith.Unary[string, string]("test/Hang")
	note  = kith.Notify[[]byte]("test/Note")
	count = kith.ServerStream[int, int]("test/Count")
	sum   = kith.ClientStream[int, int]("test/Sum")
	chat  = kith.Bidi[string, string]("test/Chat")

	errUnknown = kith.NewError(kith.NotFound, "unknown", "nobody of that name")
)

// A testServer is the listening side of the tests.
type testServer struct {
	name     string
	tr       transport.Transport
	l        transport.Listener
	cfg      session.Config
	loops    sync.WaitGroup
	accepted atomic.Int64  // connections, whether they were let in or not
	ran      atomic.Int64  // handlers
	busy     chan struct{} // closed when busyCalls of them have run
	fickle   bool          // connections are dropped soon

	mu       sync.Mutex
	sessions []*session.Session
}

// busyCalls is after how many calls a testServer counts as busy.
const busyCalls = 100

// serve listens at name until stop, or the end of the test.
func serve(t testing.TB, tr transport.Transport, name string, edit func(*testServer)) *testServer {
	t.Helper()
	s := &testServer{name: name, tr: tr, busy: make(chan struct{})}
	s.cfg.Handlers = s.handlers()
	s.cfg.Admit = admit.Anyone()
	s.cfg.Workers = session.NewWorkers(-1)
	if edit != nil {
		edit(s)
	}
	s.cfg = s.cfg.Defaults()
	l, err := tr.Listen(t.Context(), transport.Addr{Host: name})
	if err != nil {
		t.Fatalf("Listen(%q) = %v", name, err)
	}
	s.l = l
	s.loops.Go(s.acceptLoop)
	t.Cleanup(s.stop)
	return s
}

func (s *testServer) acceptLoop() {
	for {
		conn, err := s.l.Accept(context.Background())
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.loops.Go(func() {
			sess, err := session.Accept(context.Background(), conn, &s.cfg)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.sessions = append(s.sessions, sess)
			s.mu.Unlock()
			if s.fickle {
				time.Sleep(100 * time.Millisecond)
				_ = sess.Close(kith.Unavailable, "dropped")
			}
		})
	}
}

// transport is for a successor, which has the same identity.
func (s *testServer) transport() transport.Transport { return s.tr }

func (s *testServer) all() []*session.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*session.Session(nil), s.sessions...)
}

// stop ends the server now.
func (s *testServer) stop() {
	_ = s.l.Close()
	s.drop()
	s.loops.Wait()
	s.drop()
	s.cfg.Workers.Close()
}

// drop ends the connections.
func (s *testServer) drop() {
	for _, sess := range s.all() {
		_ = sess.Close(kith.Unavailable, "dropped")
	}
}

// shutdown ends the server without losing a call.
func (s *testServer) shutdown(t testing.TB) {
	_ = s.l.Close()
	s.loops.Wait()
	var drains sync.WaitGroup
	for _, sess := range s.all() {
		drains.Go(func() {
			if err := sess.Drain(t.Context()); err != nil {
				t.Errorf("Drain = %v", err)
			}
		})
	}
	drains.Wait()
	s.cfg.Workers.Close()
}

func (s *testServer) handlers() *kith.Handlers {
	var h kith.Handlers
	same := func(_ context.Context, p []byte) ([]byte, error) { return p, nil }
	echo.Handle(&h, same)
	again.Handle(&h, same)
	where.Handle(&h, func(ctx context.Context, what string) (string, error) {
		switch what {
		case "?":
			return "", errUnknown
		case "back":
			return where.Call(ctx, kith.CallerFrom(ctx), "")
		}
		return s.name, nil
	})
	hang.Handle(&h, func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	note.Handle(&h, func(context.Context, []byte) error { return nil })
	count.Handle(&h, func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if n < 0 {
				yield(0, errUnknown)
			}
		}
	})
	sum.Handle(&h, func(_ context.Context, in iter.Seq2[int, error]) (int, error) {
		total := 0
		for n, err := range in {
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	})
	chat.Handle(&h, func(_ context.Context, d *kith.Duplex[string, string]) error {
		for text, err := range d.All() {
			if err != nil {
				return err
			}
			if err := d.Send(text + text); err != nil {
				return err
			}
		}
		return nil
	})
	h.Use(func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			if s.ran.Add(1) == busyCalls {
				close(s.busy)
			}
			return next(ctx, c)
		}
	})
	return &h
}

// A world is a simulated network with a client's side and any number of
// servers' hosts.
type world struct {
	net *memory.Network
	tr  *memory.Transport // the client's
}

// inWorld runs f in a bubble of virtual time, and checks that nothing is left.
func inWorld(t *testing.T, f func(t *testing.T, w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := memory.NewNetwork(memory.NetworkConfig{Link: memory.Link{Latency: 5 * time.Millisecond}})
		t.Cleanup(func() {
			synctest.Wait() // for timers that are just ending connections
			if s := net.Stats(); s.Conns != 0 || s.Streams != 0 {
				t.Errorf("Stats() at the end = %+v, want no connection", s)
			}
			_ = net.Close()
		})
		f(t, world{net, net.Transport(memory.Config{Host: "home"})})
	})
}

// host returns a new host's transport.
func (w world) host(name string) transport.Transport {
	return w.net.Transport(memory.Config{Host: name})
}

// newClient makes a client that is closed at the end of the test.
func newClient(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

// dial makes a client that is connected, and closed at the end of the test.
func dial(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Dial = %v", err)
	}
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

func closeClient(t testing.TB, c *client.Client) {
	_ = c.Close()
	if s := c.Stats(); s.State != client.Closed || s.Conns != 0 || s.Waiters != 0 {
		t.Errorf("Stats() after Close = %+v, want nothing held", s)
	}
}

func callWhere(t testing.TB, c kith.Caller, want string) {
	t.Helper()
	if got, err := where.Call(t.Context(), c, ""); got != want || err != nil {
		t.Fatalf("where.Call = %q, %v, want %q", got, err, want)
	}
}

// refusing is the policy of a server that lets nobody in.
type refusing struct{ why error }

func (refusing) Present(context.Context, transport.Info) ([]byte, error) { return nil, nil }

func (r refusing) Admit(context.Context, transport.Info, []byte) (admit.Grant, error) {
	return admit.Grant{}, r.why
}
