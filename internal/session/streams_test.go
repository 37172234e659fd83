package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// leak opens calls that nobody closes until there is no stream for one more.
func leak(ctx context.Context, t *testing.T, s *session.Session) (open []*kith.Duplex[string, string], last error) {
	t.Helper()
	for len(open) <= 2048 {
		d, err := chat.Call(ctx, s)
		if err != nil {
			return open, err
		}
		open = append(open, d)
	}
	t.Fatalf("%d streaming calls are open at once, want a limit", len(open))
	return nil, nil
}

// wantLimitNamed fails t unless err says how many calls are open and what to do.
func wantLimitNamed(t *testing.T, err error, open int) {
	t.Helper()
	if open < 1000 || open > 1025 { // the lane may count, too
		t.Errorf("%d streaming calls are open, want 1024, or nearly", open)
	}
	for _, text := range []string{chat.Name(), fmt.Sprint(open) + " streaming calls are open", "close every Duplex", "MaxStreams"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("Call over the limit = %q, want it to say %q", err, text)
		}
	}
	if kith.Remote(err) || !kith.Unprocessed(err) {
		t.Errorf("Call over the limit = %v, want it local and unprocessed", err)
	}
}

// A program that does not close its streaming calls learns so, by the error of
// the next one, also where that has no deadline.
func TestLeakedStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		p := connect(t, tr, allKinds(nil), nil)
		start := time.Now()
		open, err := leak(t.Context(), t, p.dialed)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("Call over the limit took %v, want 10s", took)
		}
		wantLimitNamed(t, err, len(open))
		if kith.CodeOf(err) != kith.ResourceExhausted {
			t.Errorf("Call over the limit = %v, want %v", err, kith.ResourceExhausted)
		}
		if n := p.dialed.OpenStreams(); n != len(open) {
			t.Errorf("OpenStreams() = %d, want %d", n, len(open))
		}
		// Small calls need no stream.
		if got, err := greet.Call(t.Context(), p.dialed, "Ada"); got != "hello Ada" || err != nil {
			t.Errorf("Call of a unary method = %q, %v", got, err)
		}
		_ = open[0].Close()
		d, err := chat.Call(t.Context(), p.dialed)
		if err != nil {
			t.Fatalf("Call after one was closed = %v", err)
		}
		_ = d.Close()
		// Those that wait get on as long as one ends now and then.
		var waiting sync.WaitGroup
		start = time.Now()
		if open[0], err = chat.Call(t.Context(), p.dialed); err != nil {
			t.Fatalf("Call = %v", err)
		}
		for range 5 {
			waiting.Go(func() {
				d, err := chat.Call(t.Context(), p.dialed)
				if err != nil {
					t.Errorf("Call that waits = %v", err)
					return
				}
				open := d
				t.Cleanup(func() { _ = open.Close() })
			})
		}
		for i := range 5 {
			time.Sleep(9 * time.Second)
			_ = open[i].Close()
		}
		waiting.Wait()
		if took := time.Since(start); took != 45*time.Second {
			t.Errorf("the last of the waiting got its stream after %v, want 45s", took)
		}
		for _, d := range open {
			_ = d.Close()
		}
		synctest.Wait()
	})
}

// The error is as good where the ctx of the call ends first, on any transport.
func TestLeakedStreamsOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		p := connect(t, tr, allKinds(nil), nil)
		patience := 100 * time.Millisecond
		for open := 0; open <= 2048; {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			giveUp := time.AfterFunc(patience, cancel)
			_, err := chat.Call(ctx, p.dialed)
			inTime := giveUp.Stop()
			switch {
			case err == nil && inTime:
				open++
				continue
			case err != nil && !errors.Is(err, context.Canceled):
				t.Errorf("Call over the limit = %v, want %v", err, context.Canceled)
			case err == nil, !strings.Contains(err.Error(), "are open") && patience < time.Minute:
				patience *= 2 // it did not wait for a stream: the machine is slow
				continue
			}
			wantLimitNamed(t, err, open)
			return
		}
		t.Error("no limit of streaming calls")
	})
}

// A handler that closes its Duplex unblocks what it does on it, and still has
// the last word.
func TestCloseInHandler(t *testing.T) {
	talk := kith.Bidi[[]byte, []byte]("test/Talk")
	type ends struct{ recv, send error }
	// handlers run what blocks in two goroutines, and close the Duplex when ready
	// has returned.
	handlers := func(ready func(), got chan<- ends) *kith.Handlers {
		var h kith.Handlers
		talk.Handle(&h, func(ctx context.Context, d *kith.Duplex[[]byte, []byte]) error {
			var e ends
			var both sync.WaitGroup
			both.Go(func() { _, e.recv = d.Recv() })
			both.Go(func() {
				for e.send == nil {
					e.send = d.Send(make([]byte, 64<<10))
				}
			})
			ready()
			_, _ = d.Close(), d.Close()
			both.Wait()
			got <- e
			return errNobody
		})
		return &h
	}
	check := func(t *testing.T, p pair, got <-chan ends) {
		d, err := talk.Call(t.Context(), p.dialed)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		defer d.Close()
		if e := <-got; !errors.Is(e.recv, net.ErrClosed) || !errors.Is(e.send, net.ErrClosed) {
			t.Errorf("after Close in the handler Recv = %v, Send = %v, want %v", e.recv, e.send, net.ErrClosed)
		}
		for err == nil {
			_, err = d.Recv()
		}
		if kith.CodeOf(err) != kith.NotFound {
			t.Errorf("call ended with %v, want %v", err, errNobody)
		}
	}
	t.Run("blocked", func(t *testing.T) {
		inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
			got := make(chan ends, 1)
			check(t, connect(t, tr, handlers(synctest.Wait, got), nil), got)
		})
	})
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		got := make(chan ends, 1)
		p := connect(t, tr, handlers(runtime.Gosched, got), nil)
		for range 20 {
			check(t, p, got)
		}
	})
}

// What a handler sent before it closed its Duplex arrives, and what it returns.
func TestCloseInHandlerKeepsAnswers(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		var h kith.Handlers
		chat.Handle(&h, func(_ context.Context, d *kith.Duplex[string, string]) error {
			err := d.Send("one")
			_ = d.Close()
			if err := d.Send("two"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send after Close = %v, want %v", err, net.ErrClosed)
			}
			if _, err := d.Recv(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Recv after Close = %v, want %v", err, net.ErrClosed)
			}
			return err
		})
		p := connect(t, tr, &h, nil)
		d, err := chat.Call(t.Context(), p.dialed)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		defer d.Close()
		if s, err := d.Recv(); s != "one" || err != nil {
			t.Errorf("Recv = %q, %v", s, err)
		}
		if _, err := d.Recv(); err != io.EOF {
			t.Errorf("Recv = %v, want EOF", err)
		}
	})
}

// A handler that returns while a goroutine of its own still sends: the caller
// gets whole messages, and no outcome in the middle of one.
func TestReturnWhileSending(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		pour := kith.Bidi[[]byte, []byte]("test/Pour")
		stopped := make(chan error, 1)
		var h kith.Handlers
		pour.Handle(&h, func(_ context.Context, d *kith.Duplex[[]byte, []byte]) error {
			go func() {
				var err error
				for err == nil {
					err = d.Send(make([]byte, 100_000))
				}
				stopped <- err
			}()
			_, err := d.Recv()
			return err
		})
		p := connect(t, tr, &h, nil)
		for range 20 {
			d, err := pour.Call(t.Context(), p.dialed)
			if err != nil {
				t.Fatalf("Call = %v", err)
			}
			first, err := d.Recv()
			if err == nil {
				err = d.Send(nil)
			}
			for err == nil && len(first) == 100_000 {
				first, err = d.Recv()
			}
			if err != io.EOF && kith.CodeOf(err) != kith.Canceled {
				t.Errorf("Recv = %d bytes, %v, want whole messages, and then EOF or %v", len(first), err, kith.Canceled)
			}
			if err := <-stopped; err == nil {
				t.Error("Send after the handler's return = nil")
			}
			_ = d.Close()
		}
		if err := p.dialed.Err(); err != nil {
			t.Errorf("the connection ended with %v", err)
		}
	})
}

// Whoever has the outcome of a call may make the next at once: the one that has
// ended takes no place any more.
func TestPlaceIsFreeWithOutcome(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		w := session.NewWorkers(1)
		defer w.Close()
		large := kith.Unary[int, []byte]("test/Large")
		h := allKinds(nil)
		large.Handle(h, func(_ context.Context, n int) ([]byte, error) { return make([]byte, n), nil })
		p := connect(t, tr, h, func(c *session.Config) { c.Workers = w; c.MaxLaneCalls = 1 })
		for i := range 200 {
			for what, call := range map[string]func() error{
				"lane":    func() error { _, err := echo.Call(t.Context(), p.dialed, nil); return err },
				"failing": func() error { _, err := greet.Call(t.Context(), p.dialed, ""); return notFound(err) },
				"large":   func() error { _, err := large.Call(t.Context(), p.dialed, 20<<10); return err },
				"stream": func() error {
					for _, err := range count.Call(t.Context(), p.dialed, 13) {
						if err != nil {
							return notFound(err)
						}
					}
					return errors.New("no outcome")
				},
			} {
				if err := call(); err != nil {
					t.Fatalf("round %d: %s call right after another = %v", i, what, err)
				}
			}
		}
	})
}

// notFound returns nil if err is what the handlers of these tests author.
func notFound(err error) error {
	if errors.Is(err, errNobody) {
		return nil
	}
	return err
}
