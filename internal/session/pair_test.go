package session_test

import (
	"context"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// pair is two sessions on one connection.
type pair struct {
	dialed, accepted *session.Session
	workers          *session.Workers
}

// connect makes a pair whose ends serve h, over transports tr. Both are closed
// when the test ends.
func connect(t testing.TB, tr transport.Transport, h *kith.Handlers, edit func(*session.Config)) pair {
	t.Helper()
	w := session.NewWorkers(-1)
	cfg := session.Config{Handlers: h, Workers: w, Admit: admit.Anyone()}
	if edit != nil {
		edit(&cfg)
	}
	cfg = cfg.Defaults()
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "here"})
	if err != nil {
		t.Fatalf("Listen = %v", err)
	}
	type result struct {
		s   *session.Session
		err error
	}
	ch := make(chan result, 1)
	go func() {
		conn, err := l.Accept(t.Context())
		if err != nil {
			ch <- result{nil, err}
			return
		}
		s, err := session.Accept(t.Context(), conn, &cfg)
		ch <- result{s, err}
	}()
	conn, err := tr.Dial(t.Context(), l.Addr())
	if err != nil {
		t.Fatalf("Dial = %v", err)
	}
	dcfg := cfg
	dcfg.Admit = nil
	d, err := session.Dial(t.Context(), conn, &dcfg)
	if err != nil {
		t.Fatalf("session.Dial = %v", err)
	}
	r := <-ch
	if r.err != nil {
		t.Fatalf("session.Accept = %v", r.err)
	}
	t.Cleanup(func() {
		_ = d.Close(kith.OK, "test over")
		_ = r.s.Close(kith.OK, "test over")
		_ = l.Close()
		w.Close()
	})
	return pair{d, r.s, w}
}

// conns returns both ends of a connection with no session on it.
func conns(t testing.TB, tr transport.Transport) (dialed, accepted transport.Conn) {
	t.Helper()
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "bare"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if dialed, err = tr.Dial(t.Context(), l.Addr()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

func overMemory(t testing.TB) transport.Transport {
	tr := memory.New(memory.Config{})
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

var echo = kith.Unary[[]byte, []byte]("test/Echo", kith.Idempotent())

func echoHandlers() *kith.Handlers {
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	return &h
}

func textLogger(w *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(&lockedWriter{w: w}, nil))
}

type lockedWriter struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func countBytes(_ context.Context, in iter.Seq2[[]byte, error]) (int, error) {
	n := 0
	for p, err := range in {
		if err != nil {
			return n, err
		}
		n += len(p)
	}
	return n, nil
}
