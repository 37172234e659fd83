package server_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// silent connects and says nothing.
func (r *rig) silent(t testing.TB, tr transport.Transport) transport.Conn {
	t.Helper()
	c, err := tr.Dial(t.Context(), r.addr)
	if err != nil {
		t.Fatalf("Dial = %v", err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(kith.OK, "") })
	return c
}

// wantClosed fails t unless the other side has closed c with code.
func wantClosed(t testing.TB, c transport.Conn, code kith.Code) {
	t.Helper()
	synctest.Wait()
	if e := transport.ConnErr(c.Context()); e == nil || !e.Remote || e.Code != code {
		t.Errorf("connection ended with %v, want %v by the other side", e, code)
	}
}

// wantTurnedAway fails t unless the server closes a new connection with code, be it
// before Dial has returned it.
func (r *rig) wantTurnedAway(t testing.TB, tr transport.Transport, code kith.Code) {
	t.Helper()
	c, err := tr.Dial(t.Context(), r.addr)
	if err == nil {
		wantClosed(t, c, code)
		return
	}
	var e *transport.ConnError
	if !errors.As(err, &e) || !e.Remote || e.Code != code {
		t.Errorf("Dial = %v, want %v by the other side", err, code)
	}
}

func wantOpen(t testing.TB, c transport.Conn) {
	t.Helper()
	synctest.Wait()
	if e := transport.ConnErr(c.Context()); e != nil {
		t.Errorf("connection ended with %v, want it open", e)
	}
}

func TestSilentHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, overMemory(t), echoHandlers(), nil)
		quiet := r.silent(t, r.tr)
		half := r.silent(t, r.tr) // opens its lane, and then nothing
		st, err := half.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream = %v", err)
		}
		_, _ = st.Write([]byte{0})
		synctest.Wait()
		if st := r.Stats(); st.Pending != 2 {
			t.Errorf("Stats() = %+v, want 2 pending", st)
		}
		time.Sleep(5*time.Second - time.Nanosecond)
		begin := time.Now()
		if _, err := echo.Call(t.Context(), r.dial(t), nil); err != nil || time.Since(begin) != 0 {
			t.Errorf("Call of a good client = %v after %v", err, time.Since(begin))
		}
		wantOpen(t, quiet)
		wantOpen(t, half)
		time.Sleep(time.Nanosecond)
		wantClosed(t, quiet, kith.DeadlineExceeded)
		wantClosed(t, half, kith.DeadlineExceeded)
		if st := r.Stats(); st.Failed != 2 || st.Pending != 0 || st.Conns != 1 {
			t.Errorf("Stats() = %+v, want 2 failed, none pending, one open", st)
		}
		if n := len(r.log.lines("hello failed")); n != 2 {
			t.Errorf("%d lines of failed hellos, want 2: %s", n, r.log)
		}
	})
}

func TestMaxPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		defer n.Close()
		at := func(host string) transport.Transport { return n.Transport(memory.Config{Host: host}) }
		one, same, other := at("[2001:db8::1]"), at("[2001:db8::2]"), at("[2001:db8:0:1::1]")
		r := start(t, at("10.0.0.1"), echoHandlers(), func(c *server.Config) { c.MaxPending = 2 })

		first, second := r.silent(t, one), r.silent(t, same)
		synctest.Wait()
		r.wantTurnedAway(t, same, kith.ResourceExhausted) // of the same /64
		if _, err := r.tryDial(t, other); err != nil {
			t.Errorf("dial from another source = %v", err)
		}
		wantOpen(t, first)
		// One that has had time enough makes place.
		time.Sleep(500 * time.Millisecond)
		if _, err := r.tryDial(t, one); err != nil {
			t.Errorf("dial after 500 ms = %v", err)
		}
		wantClosed(t, first, kith.ResourceExhausted)
		wantOpen(t, second)
		if st := r.Stats(); st.Limited != 2 || st.Failed != 0 || st.Pending != 1 || st.Conns != 2 {
			t.Errorf("Stats() = %+v, want 2 limited, 1 pending, 2 open", st)
		}
		if n := len(r.log.lines("too many connections before hello")); n != 2 {
			t.Errorf("%d lines, want 2: %s", n, r.log)
		}
	})
}

// However many sources there are, the connections before their hello are
// bounded, and a good client gets in soon.
func TestSilentFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silent = 5000
		r := start(t, overMemory(t), echoHandlers(), func(c *server.Config) { c.MaxPending = -1 })
		for range 1024 {
			r.silent(t, r.tr)
		}
		for range silent - 1024 { // these may be turned away before they are there
			if c, err := r.tr.Dial(t.Context(), r.addr); err == nil {
				defer func() { _ = c.CloseWithError(kith.OK, "") }()
			}
		}
		synctest.Wait()
		if st := r.Stats(); st.Pending != 1024 {
			t.Fatalf("Stats() = %+v, want 1024 pending", st)
		}
		if _, err := r.tryDial(t, r.tr); err == nil {
			t.Error("dial into a flood = nil, want it refused at once")
		}
		time.Sleep(500 * time.Millisecond)
		if _, err := r.tryDial(t, r.tr); err != nil {
			t.Errorf("dial into a flood after 500 ms = %v", err)
		}
		time.Sleep(5 * time.Second)
		// Those that found no place, the first dial, and one that made place.
		const limited = silent - 1024 + 2
		if st := r.Stats(); st.Pending != 0 || st.Conns != 1 || st.Failed != 1023 || st.Limited != limited {
			t.Errorf("Stats() = %+v, want the silent ones gone, %d of them turned away", st, limited)
		}
		if n := strings.Count(r.log.String(), "\n"); n > 60 {
			t.Errorf("%d lines logged in six seconds, want at most 60", n)
		}
	})
}

func TestMaxConns(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		r := start(t, tr, echoHandlers(), func(c *server.Config) { c.MaxConns = 2 })
		first := r.dial(t)
		r.dial(t)
		begin := time.Now()
		_, err := r.tryDial(t, tr)
		if !kith.Remote(err) || kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) {
			t.Errorf("third dial = %v, want a remote ResourceExhausted, unprocessed", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("refused after %v, want at once", took)
		}
		if _, err := echo.Call(t.Context(), first, nil); err != nil {
			t.Errorf("Call over an older connection = %v", err)
		}
	})
}

// A place that a connection leaves is free for the next.
func TestMaxConnsFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, overMemory(t), echoHandlers(), func(c *server.Config) { c.MaxConns = 1 })
		for i := range 3 {
			c := r.dial(t)
			synctest.Wait() // until the server has taken it, too
			if _, err := r.tryDial(t, r.tr); kith.CodeOf(err) != kith.ResourceExhausted {
				t.Errorf("round %d: second dial = %v, want %v", i, err, kith.ResourceExhausted)
			}
			_ = c.Close(kith.OK, "")
			synctest.Wait()
		}
		if st := r.Stats(); st.Accepted != 3 || st.Limited != 3 || st.Conns != 0 {
			t.Errorf("Stats() = %+v, want 3 accepted, 3 limited", st)
		}
	})
}

func TestMaxCalls(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		started, release := make(chan string, 2), make(chan struct{})
		r := start(t, tr, hanging(started, release), func(c *server.Config) { c.MaxCalls = 2 })
		one, two := r.dial(t), r.dial(t)
		results := make(chan error, 2)
		for _, c := range []*session.Session{one, two} {
			go func() { _, err := hang.Call(t.Context(), c, "for good"); results <- err }()
			<-started
		}
		for _, c := range []*session.Session{one, two} {
			if _, err := echo.Call(t.Context(), c, nil); kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) || !kith.Remote(err) {
				t.Errorf("third Call = %v, want a remote ResourceExhausted, unprocessed", err)
			}
		}
		if st := r.Stats(); st.Calls != 2 {
			t.Errorf("Stats() = %+v, want 2 calls", st)
		}
		close(release)
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("Call = %v", err)
			}
		}
	})
}

func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, overMemory(t), echoHandlers(), nil)
		for _, text := range []string{
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", strings.Repeat("\x00\x1b[2J\n", 2000), "\xff",
		} {
			c := r.silent(t, r.tr)
			st, err := c.OpenStream(t.Context())
			if err != nil {
				t.Fatalf("OpenStream = %v", err)
			}
			_, _ = st.Write([]byte(text))
			_ = st.CloseWrite()
			synctest.Wait()
			if e := transport.ConnErr(c.Context()); e == nil || !e.Remote {
				t.Errorf("after %.20q the connection ended with %v, want it closed by the server", text, e)
			}
		}
		if st := r.Stats(); st.Failed != 4 || st.Pending != 0 {
			t.Errorf("Stats() = %+v, want 4 failed", st)
		}
		lines := r.log.lines("hello failed")
		if len(lines) != 4 {
			t.Errorf("%d lines logged, want 4: %s", len(lines), r.log)
		}
		for _, line := range lines {
			if len(line) > 600 || strings.ContainsAny(line, "\x00\x1b") {
				t.Errorf("logged %q", line)
			}
		}
		if _, err := echo.Call(t.Context(), r.dial(t), nil); err != nil {
			t.Errorf("Call after garbage = %v", err)
		}
	})
}

func TestLostConnectionCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		defer n.Close()
		ended := make(chan error, 2)
		var h kith.Handlers
		hang.Handle(&h, func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return "", ctx.Err()
		})
		r := start(t, n.Transport(memory.Config{Host: "s"}), &h, nil)
		for _, lose := range []func(){
			func() { n.Reset("c", "s") },
			func() { n.Down("c", memory.Silently) },
		} {
			c, err := r.tryDial(t, n.Transport(memory.Config{Host: "c"}))
			if err != nil {
				t.Fatalf("dial = %v", err)
			}
			go func() { _, _ = hang.Call(t.Context(), c, "") }()
			synctest.Wait()
			begin := time.Now()
			lose()
			if err := <-ended; err != context.Canceled {
				t.Errorf("ctx of the handler ended with %v, want %v", err, context.Canceled)
			}
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("ctx of the handler ended after %v, want at most 15s", took)
			}
		}
		synctest.Wait()
		if st := r.Stats(); st.Conns != 0 || st.Calls != 0 {
			t.Errorf("Stats() = %+v, want nothing left", st)
		}
	})
}

func TestPanicCostsOneCall(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		h := echoHandlers()
		hang.Handle(h, func(context.Context, string) (string, error) { panic("secret") })
		r := start(t, tr, h, nil)
		c := r.dial(t)
		for range 10 {
			_, err := hang.Call(t.Context(), c, "")
			if kith.CodeOf(err) != kith.Internal || strings.Contains(err.Error(), "secret") {
				t.Errorf("Call = %v, want %v that tells nothing", err, kith.Internal)
			}
			if _, err := echo.Call(t.Context(), c, nil); err != nil {
				t.Errorf("Call after a panic = %v", err)
			}
		}
		if n := len(r.log.lines("panic: secret")); n != 10 {
			t.Errorf("%d panics logged, want 10", n)
		}
	})
}

// A client that does not read its answers holds up its own calls only.
func TestSlowReader(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		h := echoHandlers()
		begun, ended := make(chan struct{}, 3), make(chan error, 3)
		count.Handle(h, func(ctx context.Context, n int) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				begun <- struct{}{}
				for range n {
					if !yield(make([]byte, 64<<10), nil) {
						break
					}
				}
				ended <- ctx.Err()
			}
		})
		r := start(t, tr, h, nil)
		slow := r.dial(t)
		ctx, cancel := context.WithCancel(t.Context())
		for range cap(ended) {
			s, err := slow.Open(ctx, kith.Request{Method: &count.Method, Codec: kith.JSON})
			if err != nil {
				t.Fatalf("Open = %v", err)
			}
			defer s.Close()
			if err := errors.Join(s.Send([]byte("1000")), s.CloseSend()); err != nil {
				t.Fatalf("Send = %v", err)
			}
			<-begun // a call that is cancelled before that has no handler
		}
		good := r.dial(t)
		for i := range 100 {
			if got, err := echo.Call(t.Context(), good, fmt.Append(nil, i)); err != nil || string(got) != fmt.Sprint(i) {
				t.Fatalf("Call beside a slow reader = %q, %v", got, err)
			}
			if _, err := echo.Call(t.Context(), slow, nil); err != nil {
				t.Fatalf("small Call of the slow reader = %v", err)
			}
		}
		// The last of the others may be counted for a moment more.
		if st := r.Stats(); st.Calls < cap(ended) {
			t.Errorf("Stats() = %+v, want the %d calls held up", st, cap(ended))
		}
		cancel()
		for range cap(ended) {
			if err := <-ended; err != context.Canceled {
				t.Errorf("ctx of a handler that was held up = %v, want %v", err, context.Canceled)
			}
		}
	})
}
