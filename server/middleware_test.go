package server_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport/memory"
)

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h kith.Handlers
		h.Use(server.Timeout(3 * time.Second))
		hang.Handle(&h, func(ctx context.Context, how string) (string, error) {
			switch how {
			case "in time":
				time.Sleep(2 * time.Second)
				return "done", nil
			case "wrapped":
				<-ctx.Done()
				return "", fmt.Errorf("query: %w", ctx.Err())
			}
			<-ctx.Done()
			return "", ctx.Err()
		})
		gulp.Handle(&h, drink)
		count.Handle(&h, func(context.Context, int) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for yield(make([]byte, 64<<10), nil) {
				}
			}
		})
		r := start(t, overMemory(t), &h, nil)
		c := r.dial(t)
		check := func(what string, err error, begin time.Time, want time.Duration) {
			t.Helper()
			if kith.CodeOf(err) != kith.DeadlineExceeded || !kith.Remote(err) || kith.Unprocessed(err) {
				t.Errorf("%s: Call = %v, want a remote %v", what, err, kith.DeadlineExceeded)
			}
			if took := time.Since(begin); took != want {
				t.Errorf("%s: Call took %v, want %v", what, took, want)
			}
		}
		if got, err := hang.Call(t.Context(), c, "in time"); got != "done" || err != nil {
			t.Errorf("Call in time = %q, %v", got, err)
		}
		for _, how := range []string{"", "wrapped"} {
			begin := time.Now()
			_, err := hang.Call(t.Context(), c, how)
			check(how, err, begin, 3*time.Second)
		}
		// A caller that sends nothing, and one that reads nothing.
		begin := time.Now()
		d, err := gulp.Call(t.Context(), c)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		defer d.Close()
		_ = d.Send("one")
		_, err = d.Recv()
		check("nothing sent", err, begin, 3*time.Second)
		ended := func() bool { return r.Stats().Calls == 0 }
		s, err := c.Open(t.Context(), kith.Request{Method: &count.Method, Codec: kith.JSON})
		if err != nil {
			t.Fatalf("Open = %v", err)
		}
		_ = errors.Join(s.Send([]byte("1")), s.CloseSend())
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if !ended() {
			t.Error("a handler whose answers nobody reads has not ended")
		}
		// An earlier deadline of the caller's stays its own.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := hang.Call(ctx, c, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Call = %v, want %v", err, context.DeadlineExceeded)
		}
		if n := len(r.log.lines("handler failed")); n != 0 {
			t.Errorf("%d failures logged, want none: %s", n, r.log)
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		defer n.Close()
		h := echoHandlers()
		limit := server.RateLimit(10, 5)
		ran := 0
		hang.Handle(h, func(context.Context, string) (string, error) { ran++; return "", nil }, limit)
		r := start(t, n.Transport(memory.Config{}), h, nil)
		key := kith.NewKey()
		dial := func(k *kith.Key) kith.Caller {
			c, err := r.tryDial(t, n.Transport(memory.Config{Key: k}))
			if err != nil {
				t.Fatalf("dial = %v", err)
			}
			return c
		}
		// A second connection, and a second address, are the same peer.
		one, again, other := dial(key), dial(key), dial(nil)
		burst := func(c kith.Caller) (passed int) {
			for range 20 {
				_, err := hang.Call(t.Context(), c, "")
				switch {
				case err == nil:
					passed++
				case kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) || !kith.Remote(err):
					t.Errorf("Call = %v, want a remote ResourceExhausted, unprocessed", err)
				}
			}
			return passed
		}
		for _, step := range []struct {
			c     kith.Caller
			after time.Duration
			want  int
		}{
			{one, 0, 5},
			{again, 0, 0},
			{other, 0, 5},
			{one, 99 * time.Millisecond, 0},
			{one, time.Millisecond, 1},
			{again, 300 * time.Millisecond, 3},
			{one, time.Hour, 5},
			{other, 0, 5},
		} {
			time.Sleep(step.after)
			if got := burst(step.c); got != step.want {
				t.Errorf("after %v %d of 20 calls passed, want %d", step.after, got, step.want)
			}
		}
		if ran != 24 {
			t.Errorf("handler ran %d times, want 24", ran)
		}
		if _, err := echo.Call(t.Context(), one, nil); err != nil {
			t.Errorf("Call of another method = %v", err)
		}
	})
}

// call runs a middleware around a handler as a peer's call of a method.
func call(mw kith.Middleware, p *kith.Peer, f func() error) error {
	return mw(func(context.Context, kith.Call) error { return f() })(context.Background(), kith.Call{Method: &hang.Method, Peer: p})
}

func never(t *testing.T) func() error {
	return func() error { t.Error("the handler ran"); return nil }
}

func TestRateLimitWithoutIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := server.RateLimit(1, 1)
		ok := func() error { return nil }
		for _, tc := range []struct {
			addr string
			want bool
		}{
			{"tcp://10.0.0.1:5", true},
			{"tcp://10.0.0.1:6", false},
			{"tcp://10.0.0.2:5", true},
			{"tcp://[2001:db8::1]:1", true},
			{"tcp://[2001:db8::2]:1", false},
			{"tcp://[2001:db8:0:1::2]:1", true},
		} {
			err := call(limit, &kith.Peer{Addr: tc.addr}, ok)
			if got := err == nil; got != tc.want {
				t.Errorf("call from %s = %v, want passed %v", tc.addr, err, tc.want)
			}
		}
		// Its memory is bounded: after many others, a peer is as good as new.
		for i := range 70_000 {
			if err := call(limit, &kith.Peer{Addr: fmt.Sprintf("tcp://host%d:1", i)}, ok); err != nil {
				t.Fatalf("call from host %d = %v", i, err)
			}
		}
		if err := call(limit, &kith.Peer{Addr: "tcp://10.0.0.1:6"}, ok); err != nil {
			t.Errorf("call after many others = %v", err)
		}
	})
}

func TestAccess(t *testing.T) {
	own := kith.NewError(kith.NotFound, "hidden", "no such thing")
	ada, bob := kith.NewKey().ID(), kith.NewKey().ID()
	ok := func() error { return nil }
	for _, tc := range []struct {
		name string
		mw   kith.Middleware
		peer *kith.Peer
		want kith.Code
	}{
		{"id", server.AccessIDs(ada, bob), &kith.Peer{ID: bob}, kith.OK},
		{"other id", server.AccessIDs(ada), &kith.Peer{ID: bob}, kith.PermissionDenied},
		{"no id", server.AccessIDs(ada), &kith.Peer{}, kith.PermissionDenied},
		{"nobody", server.AccessIDs(), &kith.Peer{ID: ada}, kith.PermissionDenied},
		{"no peer", server.AccessIDs(ada), nil, kith.PermissionDenied},
		{"group", server.AccessGroup("a", "b"), &kith.Peer{Groups: []string{"c", "b"}}, kith.OK},
		{"no group", server.AccessGroup("a"), &kith.Peer{Groups: []string{"c"}}, kith.PermissionDenied},
		{"no groups", server.AccessGroup(), &kith.Peer{Groups: []string{""}}, kith.PermissionDenied},
		{"authored", server.Access(func(kith.Peer, *kith.Method) error { return fmt.Errorf("check: %w", own) }), &kith.Peer{}, kith.NotFound},
		{"not authored", server.Access(func(kith.Peer, *kith.Method) error { return errors.New("secret") }), &kith.Peer{}, kith.PermissionDenied},
		{"remote", server.Access(func(kith.Peer, *kith.Method) error { return kith.RemoteError(kith.NotFound, "", "secret", nil, false) }), &kith.Peer{}, kith.PermissionDenied},
		{"method", server.Access(func(_ kith.Peer, m *kith.Method) error {
			if m.Name() != hang.Name() {
				return own
			}
			return nil
		}), &kith.Peer{}, kith.OK},
	} {
		run := ok
		if tc.want != kith.OK {
			run = never(t)
		}
		err := call(tc.mw, tc.peer, run)
		if kith.CodeOf(err) != tc.want || err != nil && (!kith.Unprocessed(err) || kith.Remote(err) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: call = %v, want %v, unprocessed and authored here", tc.name, err, tc.want)
		}
	}
}

func TestMiddlewareMistakes(t *testing.T) {
	for name, f := range map[string]func(){
		"Timeout(0)":      func() { server.Timeout(0) },
		"Access(nil)":     func() { server.Access(nil) },
		"AccessIDs(zero)": func() { server.AccessIDs(kith.ID{}) },
		"RateLimit(0, 1)": func() { server.RateLimit(0, 1) },
		"RateLimit(1, 0)": func() { server.RateLimit(1, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestLogAndMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var meter server.Meter
		var h kith.Handlers
		h.Use(server.Log(slog.New(slog.NewTextHandler(&log, nil))), meter.Middleware())
		denied := kith.NewError(kith.PermissionDenied, "no", "line one\nline two")
		hang.Handle(&h, func(ctx context.Context, how string) (string, error) {
			time.Sleep(time.Second)
			switch how {
			case "denied":
				return "", denied
			case "panic":
				panic(how)
			case "cancel":
				<-ctx.Done()
				return "", ctx.Err()
			case "plain":
				return "", context.Canceled // not of its own ctx
			}
			return how, nil
		})
		r := start(t, overMemory(t), &h, nil)
		c := r.dial(t)
		for _, how := range []string{"ok", "denied", "panic", "plain"} {
			_, _ = hang.Call(t.Context(), c, how)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, _ = hang.Call(ctx, c, "cancel")
		cancel()
		go func() { _, _ = hang.Call(t.Context(), c, "ok") }()
		synctest.Wait()
		want := server.MethodStats{
			Method: hang.Name(), InFlight: 1, Total: 6 * time.Second, Longest: 2 * time.Second,
			Calls: map[kith.Code]uint64{kith.OK: 1, kith.PermissionDenied: 1, kith.Internal: 2, kith.DeadlineExceeded: 1},
		}
		if got := meter.Snapshot(); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
			t.Errorf("Snapshot() = %+v, want [%+v]", got, want)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		var codes []string
		for line := range strings.Lines(log.String()) {
			if strings.Count(line, "\n") != 1 || !strings.Contains(line, "method=test/Hang") || !strings.Contains(line, "took=") || !strings.Contains(line, "peer=") {
				t.Errorf("logged %q", line)
			}
			_, code, _ := strings.Cut(line, "code=")
			codes = append(codes, strings.Fields(code)[0])
		}
		if want := []string{"OK", "PermissionDenied", "Internal", "Internal", "DeadlineExceeded", "OK"}; !slices.Equal(codes, want) {
			t.Errorf("logged codes %v, want %v", codes, want)
		}
	})
}
