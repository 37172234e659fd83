package session_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// inBubble runs f in a bubble of synctest, over memory.
func inBubble(t *testing.T, f func(t *testing.T, n *memory.Network, tr transport.Transport)) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		t.Cleanup(func() { _ = n.Close() })
		f(t, n, n.Transport(memory.Config{Host: "here"}))
	})
}

var (
	hang       = kith.Unary[string, string]("test/Hang")
	hangStream = kith.Bidi[string, string]("test/HangStream")
	hangLarge  = kith.Unary[[]byte, []byte]("test/HangLarge", kith.Isolated())
)

// hanging handlers report their ctx's end and return it.
func hanging(ended chan<- error) *kith.Handlers {
	var h kith.Handlers
	stay := func(ctx context.Context) error {
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	hang.Handle(&h, func(ctx context.Context, _ string) (string, error) { return "", stay(ctx) })
	hangLarge.Handle(&h, func(ctx context.Context, _ []byte) ([]byte, error) { return nil, stay(ctx) })
	hangStream.Handle(&h, func(ctx context.Context, _ *kith.Duplex[string, string]) error { return stay(ctx) })
	return &h
}

// calls are the shapes that a call can take on the wire.
var calls = map[string]func(context.Context, kith.Caller) error{
	"lane": func(ctx context.Context, c kith.Caller) error {
		_, err := hang.Call(ctx, c, "")
		return err
	},
	"stream": func(ctx context.Context, c kith.Caller) error {
		_, err := hangLarge.Call(ctx, c, make([]byte, 100<<10))
		return err
	},
	"bidi": func(ctx context.Context, c kith.Caller) error {
		d, err := hangStream.Call(ctx, c)
		if err != nil {
			return err
		}
		defer d.Close()
		_, err = d.Recv()
		return err
	},
}

func TestCancelReachesHandler(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
				ended := make(chan error, 1)
				p := connect(t, tr, hanging(ended), nil)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				err := call(ctx, p.dialed)
				if !errors.Is(err, context.Canceled) || kith.Remote(err) || kith.CodeOf(err) != kith.Canceled {
					t.Errorf("call = %v, want local %v", err, context.Canceled)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("call returned after %v, want 1s", took)
				}
				if got := <-ended; got != context.Canceled {
					t.Errorf("handler's ctx ended with %v", got)
				}
			})
		})
	}
}

func TestDeadlineReachesHandler(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *memory.Network, tr transport.Transport) {
				ended := make(chan error, 1)
				p := connect(t, tr, hanging(ended), nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := call(ctx, p.dialed); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("call = %v, want %v", err, context.DeadlineExceeded)
				}
				if got := <-ended; got != context.DeadlineExceeded && got != context.Canceled {
					t.Errorf("handler's ctx ended with %v", got)
				}
			})
		})
	}
}

func TestLostConnection(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
				ended := make(chan error, 1)
				p := connect(t, tr, hanging(ended), nil)
				time.AfterFunc(time.Second, func() { _ = p.accepted.Close(kith.Unavailable, "gone") })
				err := call(t.Context(), p.dialed)
				var ce *transport.ConnError
				if !errors.As(err, &ce) || ce.Reason != "gone" || !ce.Remote || kith.CodeOf(err) != kith.Unavailable || kith.Unprocessed(err) {
					t.Errorf("call = %v, want the connection's end", err)
				}
				if got := <-ended; got != context.Canceled {
					t.Errorf("handler's ctx ended with %v", got)
				}
				if err := call(t.Context(), p.dialed); !kith.Unprocessed(err) {
					t.Errorf("call after the end = %v, want Unprocessed", err)
				}
			})
		})
	}
}

// A call returns at its deadline also while the link takes nothing more.
func TestStuckLink(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memory.NewNetwork(memory.NetworkConfig{})
				defer func() { _ = n.Close() }()
				here, there := n.Transport(memory.Config{Host: "here"}), n.Transport(memory.Config{Host: "there"})
				p := connect(t, dialFrom{there, here}, hanging(make(chan error, 8)), nil)
				n.Stall("there", "here")
				n.Stall("here", "there")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				stuck := make(chan error, 4)
				for range 4 { // fills the link's buffers, so that writes are stuck
					go func() {
						_, err := hangLarge.Call(ctx, p.dialed, make([]byte, 1<<20))
						stuck <- err
					}()
				}
				start := time.Now()
				if err := call(ctx, p.dialed); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("call = %v, want %v", err, context.DeadlineExceeded)
				}
				for range cap(stuck) {
					if err := <-stuck; !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("stuck call = %v, want %v", err, context.DeadlineExceeded)
					}
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("calls returned after %v, want 1s", took)
				}
			})
		})
	}
}

// dialFrom dials by one transport and listens by another.
type dialFrom struct {
	transport.Transport
	listen transport.Transport
}

func (d dialFrom) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	return d.listen.Listen(ctx, a)
}

func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		name string
		open bool
		want time.Duration
		ping time.Duration
	}{{"calls open", true, 15 * time.Second, 5 * time.Second}, {"idle", false, 45 * time.Second, 30 * time.Second}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memory.NewNetwork(memory.NetworkConfig{})
				defer func() { _ = n.Close() }()
				here, there := n.Transport(memory.Config{Host: "here"}), n.Transport(memory.Config{Host: "there"})
				p := connect(t, dialFrom{there, here}, hanging(make(chan error, 1)), nil)
				if tc.open {
					go func() { _, _ = hang.Call(t.Context(), p.dialed, "") }()
				}
				time.Sleep(10 * time.Minute) // pings keep it alive
				if err := p.dialed.Err(); err != nil {
					t.Fatalf("session ended: %v", err)
				}
				n.Partition("here", "there")
				start := time.Now()
				<-p.dialed.Ended()
				// The last word came up to one ping interval before the cut.
				if took := time.Since(start); took > tc.want || took < tc.want-tc.ping {
					t.Errorf("ended after %v, want %v, or up to %v less", took, tc.want, tc.ping)
				}
				<-p.accepted.Ended()
			})
		})
	}
}

func TestPanicCostsOneCall(t *testing.T) {
	var log strings.Builder
	boom := kith.Unary[string, string]("test/Boom")
	var h kith.Handlers
	boom.Handle(&h, func(_ context.Context, what string) (string, error) {
		switch what {
		case "panic":
			panic("secret")
		case "exit":
			runtime.Goexit()
		case "error":
			return "", errors.New("secret")
		}
		return what, nil
	})
	p := connect(t, overMemory(t), &h, func(c *session.Config) { c.Logger = textLogger(&log) })
	for _, what := range []string{"panic", "exit", "error"} {
		_, err := boom.Call(t.Context(), p.dialed, what)
		if kith.CodeOf(err) != kith.Internal || !kith.Remote(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Call(%q) = %v, want Internal without the text", what, err)
		}
		_, id, _ := strings.Cut(err.Error(), "(call ")
		if id = strings.TrimSuffix(id, ")"); id == "" || !strings.Contains(log.String(), id) {
			t.Errorf("Call(%q): log does not have the call id %q:\n%s", what, id, log.String())
		}
	}
	if got, err := boom.Call(t.Context(), p.dialed, "fine"); got != "fine" || err != nil {
		t.Errorf("Call after panics = %q, %v", got, err)
	}
}

// Each of many calls that are cancelled at random ends once, and nothing is
// left of them.
func TestCancelRace(t *testing.T) {
	var running atomic.Int64
	var h kith.Handlers
	echo.Handle(&h, func(ctx context.Context, p []byte) ([]byte, error) {
		running.Add(1)
		defer running.Add(-1)
		return p, nil
	})
	p := connect(t, overMemory(t), &h, nil)
	done := make(chan struct{})
	for w := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 2000 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				size := 10
				if i%50 == w {
					size = 40 << 10
				}
				got, err := echo.Call(ctx, p.dialed, make([]byte, size))
				if err == nil && len(got) != size || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("Call = %d bytes, %v", len(got), err)
				}
				cancel()
			}
		}()
	}
	for range 8 {
		<-done
	}
	<-p.workers.Quiet()
	if n := running.Load(); n != 0 {
		t.Errorf("%d handlers still run", n)
	}
	if err := p.dialed.Drain(t.Context()); err != nil {
		t.Errorf("Drain = %v", err)
	}
	<-p.accepted.Ended()
}
