package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestServe(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		r := start(t, tr, echoHandlers(), nil)
		other := listen(t, tr)
		served := make(chan error, 1)
		go func() { served <- r.Serve(t.Context(), other) }()
		for _, addr := range []transport.Addr{r.addr, other.Addr()} {
			c, err := dialAt(t.Context(), tr, addr)
			if err != nil {
				t.Fatalf("dial %v = %v", addr, err)
			}
			for _, size := range []int{0, 100, 100 << 10} {
				want := bytes.Repeat([]byte{7}, size)
				if got, err := echo.Call(t.Context(), c, want); !bytes.Equal(got, want) || err != nil {
					t.Errorf("Call of %d bytes = %d bytes, %v", size, len(got), err)
				}
			}
			if err := c.Close(kith.OK, ""); err != nil {
				t.Errorf("Close of the client = %v", err)
			}
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		for _, err := range []error{<-r.served, <-served} {
			if !errors.Is(err, server.ErrClosed) || !errors.Is(err, net.ErrClosed) || !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Serve() = %v, want %v", err, server.ErrClosed)
			}
		}
		if st := r.Stats(); st.Accepted != 2 || st.Refused+st.Limited+st.Failed != 0 {
			t.Errorf("Stats() = %+v, want 2 accepted", st)
		}
		if err := r.Serve(t.Context(), listen(t, tr)); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve() after Close = %v, want %v", err, server.ErrClosed)
		}
		if err := r.ListenAndServe(t.Context(), tr, ":0"); !errors.Is(err, server.ErrClosed) {
			t.Errorf("ListenAndServe() after Close = %v, want %v", err, server.ErrClosed)
		}
	})
}

// The end of Serve's ctx stops the accepting, not the connections.
func TestServeContext(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		r := start(t, tr, echoHandlers(), nil)
		r.dial(t) // it serves by now
		ctx, cancel := context.WithCancel(t.Context())
		l := listen(t, tr)
		addr := l.Addr()
		served := make(chan error, 1)
		go func() { served <- r.Serve(ctx, l) }()
		c, err := dialAt(t.Context(), tr, addr)
		if err != nil {
			t.Fatalf("dial = %v", err)
		}
		defer c.Close(kith.OK, "")
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) || errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve() = %v, want %v", err, context.Canceled)
		}
		if _, err := echo.Call(t.Context(), c, nil); err != nil {
			t.Errorf("Call over a connection that was there before = %v", err)
		}
		if got := r.Addrs(); len(got) != 1 || got[0] != r.addr {
			t.Errorf("Addrs() = %v, want [%v]", got, r.addr)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if c, err := dialAt(ctx, tr, addr); err == nil {
			t.Error("dial after the end of Serve succeeded")
			_ = c.Close(kith.OK, "")
		}
	})
}

func TestListenAndServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := memory.New(memory.Config{})
		defer tr.Close()
		srv, err := server.New(server.Config{Handlers: echoHandlers(), Admit: admit.Anyone()})
		if err != nil {
			t.Fatalf("New() = %v", err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.ListenAndServe(t.Context(), tr, "memory://here:1") }()
		synctest.Wait()
		addrs := srv.Addrs()
		if len(addrs) != 1 || addrs[0].Host != "here:1" {
			t.Fatalf("Addrs() = %v, want here:1", addrs)
		}
		if err := srv.ListenAndServe(t.Context(), tr, "memory://here:1"); err == nil || errors.Is(err, server.ErrClosed) {
			t.Errorf("ListenAndServe(name in use) = %v, want another error", err)
		}
		if err := srv.ListenAndServe(t.Context(), tr, "::"); err == nil {
			t.Error("ListenAndServe(no address) = nil")
		}
		// A transport that somebody closes ends Serve, and is told from the server's end.
		_ = tr.Close()
		if err := <-served; !errors.Is(err, transport.ErrClosed) || errors.Is(err, server.ErrClosed) {
			t.Errorf("ListenAndServe() = %v, want %v alone", err, transport.ErrClosed)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
	})
}

func TestNewChecks(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  server.Config
		want string
	}{
		{"zero", server.Config{}, "no Handlers"},
		{"nil codec", server.Config{Handlers: echoHandlers(), Codecs: []kith.Codec{nil}}, "codec 0 is nil"},
		{"built in", server.Config{Handlers: echoHandlers(), Codecs: []kith.Codec{kith.JSON}}, `two codecs of the name "json"`},
		{"twice", server.Config{Handlers: echoHandlers(), Codecs: []kith.Codec{named("x"), named("x")}}, `two codecs of the name "x"`},
		{"space", server.Config{Handlers: echoHandlers(), Codecs: []kith.Codec{named("a b")}}, `codec name "a b"`},
		{"empty", server.Config{Handlers: echoHandlers(), Codecs: []kith.Codec{named("")}}, `codec name ""`},
	} {
		if _, err := server.New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: New() = %v, want %q", tc.name, err, tc.want)
		}
	}
	h := echoHandlers()
	if _, err := server.New(server.Config{Handlers: h}); err != nil {
		t.Errorf("New(no Admit) = %v, want nil: a listener may verify", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Handle after New did not panic")
		}
	}()
	hang.Handle(h, func(context.Context, string) (string, error) { return "", nil })
}

type codec struct {
	kith.Codec
	name string
}

func named(name string) kith.Codec { return codec{kith.JSON, name} }
func (c codec) Name() string       { return c.name }

// verifying is a listener that says whether it verifies clients.
type verifying struct {
	transport.Listener
	does bool
}

func (v verifying) VerifiesClients() bool { return v.does }

func TestServeNeedsPolicy(t *testing.T) {
	tr := overMemory(t)
	r := start(t, tr, echoHandlers(), func(c *server.Config) { c.Admit = nil })
	if err := <-r.served; !errors.Is(err, admit.ErrNoPolicy) {
		t.Errorf("Serve(without a policy) = %v, want %v", err, admit.ErrNoPolicy)
	}
	if err := r.Serve(t.Context(), verifying{listen(t, tr), false}); !errors.Is(err, admit.ErrNoPolicy) {
		t.Errorf("Serve(a listener that verifies nobody) = %v, want %v", err, admit.ErrNoPolicy)
	}
	if _, err := r.tryDial(t, tr); !errors.Is(err, memory.ErrRefused) {
		t.Errorf("dial = %v, want %v: the listener is closed", err, memory.ErrRefused)
	}
	// One that claims to verify is served, and its clients still have to prove it.
	r.serve(t, verifying{listen(t, tr), true})
	if _, err := r.tryDial(t, tr); kith.CodeOf(err) != kith.Unauthenticated || !kith.Remote(err) {
		t.Errorf("dial without a certificate = %v, want %v", err, kith.Unauthenticated)
	}
}

// badListener fails to accept, then is well again.
type badListener struct {
	transport.Listener
	fails atomic.Int64 // how often it still fails
	tries atomic.Int64
}

func (l *badListener) Accept(ctx context.Context) (transport.Conn, error) {
	l.tries.Add(1)
	if l.fails.Add(-1) >= 0 {
		return nil, fmt.Errorf("accept: %w", syscall.EMFILE)
	}
	return l.Listener.Accept(ctx)
}

func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := overMemory(t)
		r := start(t, tr, echoHandlers(), nil)
		l := &badListener{Listener: listen(t, tr)}
		l.fails.Store(20)
		r.serve(t, l)
		begin := time.Now()
		c := r.dial(t)
		// 5 ms doubling to 1 s: eight pauses make 1.275 s, twelve more 12 s.
		if took, want := time.Since(begin), 13275*time.Millisecond; took != want {
			t.Errorf("first connection after %v, want %v", took, want)
		}
		if _, err := echo.Call(t.Context(), c, nil); err != nil {
			t.Errorf("Call = %v", err)
		}
		if n := len(r.log.lines("accept failed")); n != 20 {
			t.Errorf("%d lines logged, want 20: %s", n, r.log)
		}
		// The next error begins at 5 ms again.
		l.fails.Store(1)
		r.dial(t)
		begin = time.Now()
		r.dial(t)
		if took := time.Since(begin); took != 5*time.Millisecond {
			t.Errorf("connection after a single error took %v, want 5ms", took)
		}
		// And the end does not wait for a pause.
		l.fails.Store(100)
		r.dial(t)
		time.Sleep(3 * time.Second)
		begin = time.Now()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("Shutdown took %v in a pause, want 0", took)
		}
		for range 2 {
			if err := <-r.served; !errors.Is(err, server.ErrClosed) {
				t.Errorf("Serve() = %v, want %v", err, server.ErrClosed)
			}
		}
	})
}

func TestCloseFromHandler(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		var r *rig
		var h kith.Handlers
		closed := make(chan error, 1)
		hang.Handle(&h, func(ctx context.Context, _ string) (string, error) {
			closed <- r.Close()
			<-ctx.Done()
			closed <- ctx.Err()
			return "", nil
		})
		r = start(t, tr, &h, nil)
		c := r.dial(t)
		if _, err := hang.Call(t.Context(), c, ""); kith.CodeOf(err) != kith.Unavailable || kith.Unprocessed(err) {
			t.Errorf("Call = %v, want Unavailable, its fate unknown", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close() in a handler = %v", err)
		}
		if err := <-closed; err != context.Canceled {
			t.Errorf("ctx of the handler ended with %v, want %v", err, context.Canceled)
		}
		if err := r.Shutdown(t.Context()); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Shutdown() after Close = %v, want %v", err, server.ErrClosed)
		}
	})
}
