package client_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// fickle is a policy that lets nobody in, for a while.
type fickle struct {
	why  error
	open *atomic.Bool
}

func (fickle) Present(context.Context, transport.Info) ([]byte, error) { return nil, nil }

func (f fickle) Admit(context.Context, transport.Info, []byte) (admit.Grant, error) {
	if f.open.Load() {
		return admit.Grant{}, nil
	}
	return admit.Grant{}, f.why
}

// A call that waits for a connection waits no more where all servers refuse
// this client for good, and learns what they said. The next call asks again.
func TestWaitForReadyRefused(t *testing.T) {
	for _, tc := range []struct {
		why   error
		waits bool
	}{
		{kith.NewError(kith.PermissionDenied, "not_admitted", "go away"), false},
		{kith.NewError(kith.Unauthenticated, "no_identity", "who are you"), false},
		{kith.NewError(kith.ResourceExhausted, "too_many_connections", "full"), true},
		{kith.NewError(kith.Unavailable, "shutting_down", "stopping"), true},
	} {
		t.Run(kith.CodeOf(tc.why).String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				var open atomic.Bool
				for _, name := range []string{"a", "b"} {
					serve(t, w.host(name), name, func(s *testServer) { s.cfg.Admit = fickle{tc.why, &open} })
				}
				c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://a", "memory://b"}})
				waits := func(what string, call func(context.Context) error) {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					start := time.Now()
					err := call(ctx)
					took := time.Since(start)
					switch {
					case tc.waits && (kith.CodeOf(err) != kith.DeadlineExceeded || took != time.Hour):
						t.Errorf("%s: Call = %v after %v, want it to wait for an hour", what, err, took)
					case !tc.waits && (kith.CodeOf(err) != kith.CodeOf(tc.why) || took > time.Second):
						t.Errorf("%s: Call = %v after %v, want %v at once", what, err, took, tc.why)
					case !kith.Unprocessed(err):
						t.Errorf("%s: Call = %v, want it unprocessed", what, err)
					}
				}
				waits("unary", func(ctx context.Context) error {
					_, err := echo.Call(ctx, c, nil, kith.WaitForReady())
					return err
				})
				waits("idempotent", func(ctx context.Context) error { // sent behind hello
					_, err := again.Call(ctx, c, nil, kith.WaitForReady())
					return err
				})
				waits("stream", func(ctx context.Context) error {
					_, err := chat.Call(ctx, c, kith.WaitForReady())
					return err
				})
				open.Store(true)
				time.Sleep(time.Minute) // no pause between attempts is longer
				if _, err := echo.Call(t.Context(), c, nil, kith.WaitForReady()); err != nil {
					t.Errorf("Call once the server admits this client = %v", err)
				}
			})
		})
	}
}

// While one address may still come to answer, a call goes on waiting.
func TestWaitForReadyPartlyRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("a"), "a", func(s *testServer) {
			s.cfg.Admit = refusing{kith.NewError(kith.PermissionDenied, "not_admitted", "go away")}
		})
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://a", "memory://b"}})
		time.AfterFunc(time.Minute, func() { serve(t, w.host("b"), "b", nil) })
		if got, err := where.Call(t.Context(), c, "", kith.WaitForReady()); got != "b" || err != nil {
			t.Errorf("Call = %q, %v, want it answered by b", got, err)
		}
	})
}

// Streaming calls that are not closed are counted, and the next one over the
// limit says so.
func TestLeakedStreams(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		var open []*kith.Duplex[string, string]
		var err error
		for err == nil && len(open) < 2048 {
			var d *kith.Duplex[string, string]
			if d, err = chat.Call(t.Context(), c); err == nil {
				open = append(open, d)
			}
		}
		if kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) {
			t.Errorf("Call with %d open = %v, want an unprocessed %v", len(open), err, kith.ResourceExhausted)
		}
		if n := c.Stats().Streams; n != len(open) || n < 1000 {
			t.Errorf("Stats().Streams = %d, want %d", n, len(open))
		}
		for _, d := range open {
			_ = d.Close()
		}
		if n := c.Stats().Streams; n != 0 {
			t.Errorf("Stats().Streams after all were closed = %d, want 0", n)
		}
	})
}
