package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	echo  = kith.Unary[[]byte, []byte]("test/Echo")
	hang  = kith.Unary[string, string]("test/Hang")
	count = kith.ServerStream[int, []byte]("test/Count")
	gulp  = kith.ClientStream[string, int]("test/Gulp")
)

func echoHandlers() *kith.Handlers {
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	return &h
}

// A rig is a server that serves one listener of a transport.
type rig struct {
	*server.Server
	tr     transport.Transport
	addr   transport.Addr
	log    *logBuffer
	served chan error // what Serve returned
}

// start makes a server over tr, which Anyone may call unless edit says
// otherwise, and serves. When the test ends, it is closed and holds nothing.
func start(t testing.TB, tr transport.Transport, h *kith.Handlers, edit func(*server.Config)) *rig {
	t.Helper()
	r := &rig{tr: tr, log: &logBuffer{}, served: make(chan error, 1)}
	cfg := server.Config{Handlers: h, Admit: admit.Anyone(), Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if r.Server, err = server.New(cfg); err != nil {
		t.Fatalf("New = %v", err)
	}
	r.serve(t, listen(t, tr))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		// It waits for the handlers.
		if err := r.Shutdown(context.Background()); err != nil && !errors.Is(err, server.ErrClosed) {
			t.Errorf("Shutdown after Close = %v", err)
		}
		if st := r.Stats(); st.Conns != 0 || st.Pending != 0 || st.Calls != 0 || len(r.Addrs()) != 0 {
			t.Errorf("Stats() after Close = %+v, listening at %v, want nothing", st, r.Addrs())
		}
	})
	return r
}

func (r *rig) serve(t testing.TB, l transport.Listener) {
	r.addr = l.Addr()
	go func() { r.served <- r.Serve(t.Context(), l) }()
}

func listen(t testing.TB, tr transport.Transport) transport.Listener {
	t.Helper()
	host := "127.0.0.1:0"
	if m, ok := tr.(*memory.Transport); ok {
		host = m.Host() + ":0"
	}
	l, err := tr.Listen(t.Context(), transport.Addr{Host: host})
	if err != nil {
		t.Fatalf("Listen = %v", err)
	}
	return l
}

// dial connects a client over the server's own transport.
func (r *rig) dial(t testing.TB) *session.Session {
	t.Helper()
	s, err := r.tryDial(t, r.tr)
	if err != nil {
		t.Fatalf("dial = %v", err)
	}
	return s
}

func (r *rig) tryDial(t testing.TB, tr transport.Transport) (*session.Session, error) {
	t.Helper()
	s, err := dialAt(t.Context(), tr, r.addr)
	if err == nil {
		t.Cleanup(func() { _ = s.Close(kith.OK, "") })
	}
	return s, err
}

func dialAt(ctx context.Context, tr transport.Transport, a transport.Addr) (*session.Session, error) {
	conn, err := tr.Dial(ctx, a)
	if err != nil {
		return nil, err
	}
	cfg := session.Config{}.Defaults()
	return session.Dial(ctx, conn, &cfg)
}

func overMemory(t testing.TB) transport.Transport {
	tr := memory.New(memory.Config{})
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// overTransports runs a test over each transport.
func overTransports(t *testing.T, f func(t *testing.T, tr transport.Transport)) {
	for name, makeTransport := range map[string]func() transport.Transport{
		"memory":    func() transport.Transport { return memory.New(memory.Config{}) },
		"tcp":       func() transport.Transport { return tcp.New(tcp.Config{}) },
		"tcp plain": func() transport.Transport { return tcp.New(tcp.Config{Plaintext: true}) },
		"quic":      func() transport.Transport { return quic.New(quic.Config{}) },
	} {
		t.Run(name, func(t *testing.T) {
			tr := makeTransport()
			t.Cleanup(func() { _ = tr.Close() })
			f(t, tr)
		})
	}
}

// logBuffer is what a server logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// lines returns the lines that contain text.
func (b *logBuffer) lines(text string) []string {
	var found []string
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// hanging returns handlers of which hang sends on started, and then hangs until
// its ctx ends, or for good until release is closed.
func hanging(started chan<- string, release <-chan struct{}) *kith.Handlers {
	h := echoHandlers()
	hang.Handle(h, func(ctx context.Context, how string) (string, error) {
		started <- how
		if how == "for good" {
			<-release
			return "released", nil
		}
		<-ctx.Done()
		return "", ctx.Err()
	})
	return h
}
