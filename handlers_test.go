package kith_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/kith-go/kith"
)

var (
	methodA = kith.Unary[int, int]("s/A")
	methodB = kith.Unary[int, int]("s/B")
)

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

func TestHandlersLookup(t *testing.T) {
	var h kith.Handlers
	methodB.Handle(&h, double)
	methodA.Handle(&h, double)

	ms := h.Methods()
	if len(ms) != 2 || ms[0] != &methodA.Method || ms[1] != &methodB.Method {
		t.Errorf("Methods() = %v, want s/A, s/B", ms)
	}
	if m, run, ok := h.Lookup([]byte("s/B")); !ok || m != &methodB.Method || run == nil {
		t.Errorf("Lookup(s/B) = %v, %t, want the method", m, ok)
	}
	for _, name := range []string{"", "s/C", "S/A", "s/A/", "/s/A", "s//A", "s/A\x00", "s/%41", "s/a"} {
		if m, run, ok := h.Lookup([]byte(name)); ok || m != nil || run != nil {
			t.Errorf("Lookup(%q) = %v, %t, want nothing", name, m, ok)
		}
	}
	name := []byte("s/A")
	if n := testing.AllocsPerRun(100, func() { h.Lookup(name) }); n != 0 {
		t.Errorf("Lookup(%q) allocates %v times, want 0", name, n)
	}
}

func TestHandlersNilAndEmpty(t *testing.T) {
	for name, h := range map[string]*kith.Handlers{"nil": nil, "zero": new(kith.Handlers)} {
		if m, _, ok := h.Lookup([]byte("s/A")); ok || m != nil {
			t.Errorf("%s: Lookup(s/A) = %v, %t, want nothing", name, m, ok)
		}
		if ms := h.Methods(); len(ms) != 0 {
			t.Errorf("%s: Methods() = %v, want none", name, ms)
		}
	}
}

func TestHandlersPanics(t *testing.T) {
	pass := func(next kith.Handler) kith.Handler { return next }
	var h kith.Handlers
	methodA.Handle(&h, double)
	wantPanic(t, "Handle twice", "method s/A registered twice", func() { methodA.Handle(&h, double) })
	wantPanic(t, "another kind of the same name", "method s/A registered twice", func() {
		kith.Notify[string]("s/A").Handle(&h, func(context.Context, string) error { return nil })
	})
	wantPanic(t, "Register(nil)", "nil handler for s/B", func() { h.Register(&methodB.Method, nil) })
	wantPanic(t, "Unary.Handle(nil)", "nil handler for s/B", func() { methodB.Handle(&h, nil) })
	wantPanic(t, "ServerStream.Handle(nil)", "nil handler for s/C", func() { kith.ServerStream[int, int]("s/C").Handle(&h, nil) })
	wantPanic(t, "ClientStream.Handle(nil)", "nil handler for s/C", func() { kith.ClientStream[int, int]("s/C").Handle(&h, nil) })
	wantPanic(t, "Bidi.Handle(nil)", "nil handler for s/C", func() { kith.Bidi[int, int]("s/C").Handle(&h, nil) })
	wantPanic(t, "Notify.Handle(nil)", "nil handler for s/C", func() { kith.Notify[int]("s/C").Handle(&h, nil) })

	methodB.Handle(&h, double) // none of the panics left it locked
	h.Use(pass)
	h.Lookup(nil)
	wantPanic(t, "Handle in use", "register s/C: handlers are in use already", func() {
		kith.Unary[int, int]("s/C").Handle(&h, double)
	})
	wantPanic(t, "Use in use", "Use: handlers are in use already", func() { h.Use(pass) })
	if len(h.Methods()) != 2 {
		t.Errorf("Methods() = %v, want s/A and s/B", h.Methods())
	}

	var listed kith.Handlers
	listed.Methods()
	wantPanic(t, "Handle after Methods", "in use already", func() { methodA.Handle(&listed, double) })
}

// noting is a middleware that notes its name on the way in and out.
func noting(log *[]string, name string) kith.Middleware {
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			*log = append(*log, name)
			err := next(ctx, c)
			*log = append(*log, "/"+name)
			return err
		}
	}
}

func TestMiddlewareOrder(t *testing.T) {
	var log []string
	var h kith.Handlers
	h.Use(noting(&log, "global1"))
	methodA.Handle(&h, double, noting(&log, "own1"), noting(&log, "own2"))
	methodB.Handle(&h, double)
	h.Use(noting(&log, "global2"), noting(&log, "global3")) // also for those before
	c := &loop{handlers: &h}

	if n, err := methodA.Call(t.Context(), c, 21); n != 42 || err != nil {
		t.Errorf("Call(21) = %d, %v, want 42", n, err)
	}
	want := []string{
		"global1", "global2", "global3", "own1", "own2",
		"/own2", "/own1", "/global3", "/global2", "/global1",
	}
	if !slices.Equal(log, want) {
		t.Errorf("order = %q, want %q", log, want)
	}
	log = nil
	if _, err := methodB.Call(t.Context(), c, 1); err != nil || len(log) != 6 {
		t.Errorf("order without own middleware = %q, %v, want the three global ones", log, err)
	}
}

func TestMiddlewareTurnsAway(t *testing.T) {
	busy := kith.NewError(kith.ResourceExhausted, "busy", "")
	ran := false
	var h kith.Handlers
	h.Use(func(kith.Handler) kith.Handler {
		return func(context.Context, kith.Call) error { return busy.Refusal() }
	})
	methodA.Handle(&h, func(context.Context, int) (int, error) {
		ran = true
		return 0, nil
	})
	_, err := methodA.Call(t.Context(), &loop{handlers: &h}, 1)
	if ran || !kith.Unprocessed(err) || !kith.Remote(err) || kith.CodeOf(err) != kith.ResourceExhausted {
		t.Errorf("Call = %v, ran %t, want a remote refusal and no run", err, ran)
	}
}

func TestChain(t *testing.T) {
	var log []string
	h := kith.Chain(func(context.Context, kith.Call) error {
		log = append(log, "handler")
		return nil
	}, noting(&log, "a"), noting(&log, "b"))
	if err := h(t.Context(), kith.Call{}); err != nil || !slices.Equal(log, []string{"a", "b", "handler", "/b", "/a"}) {
		t.Errorf("Chain(h, a, b) ran %q, %v, want a around b around the handler", log, err)
	}
}

// TestMiddlewareMayAsk: no lock is held while middleware is made.
func TestMiddlewareMayAsk(t *testing.T) {
	var h, other kith.Handlers
	methodB.Handle(&other, double)
	methodA.Handle(&h, double, func(next kith.Handler) kith.Handler {
		methodB.Handle(&h, double)
		return next
	})
	if ms := h.Methods(); len(ms) != 2 {
		t.Errorf("Methods() = %v, want s/A and s/B", ms)
	}
}

func TestHandlersUsedAtOnce(t *testing.T) {
	made := 0
	var h kith.Handlers
	h.Use(func(next kith.Handler) kith.Handler {
		made++ // a race if two goroutines wrap
		return next
	})
	methodA.Handle(&h, double)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			<-start
			for range 100 {
				if _, _, ok := h.Lookup([]byte("s/A")); !ok {
					t.Error("Lookup(s/A) = false, want true")
				}
			}
			if ms := h.Methods(); len(ms) != 1 {
				t.Errorf("Methods() = %v, want s/A", ms)
			}
		})
	}
	close(start)
	wg.Wait()
	if made != 1 {
		t.Errorf("middleware was applied %d times, want once", made)
	}
}
