package mux_test

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
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// TestStreamLimit fills the other side's limit. A slot comes back only when
// both ends are done with a stream.
func TestStreamLimit(t *testing.T) {
	const limit = 20
	synctest.Test(t, func(t *testing.T) {
		x, y := newPipe()
		a := closed(t, mux.New(x, mux.Config{Dialed: true}))
		b := closed(t, mux.New(y, mux.Config{MaxStreams: limit}))
		near := make([]transport.Stream, limit)
		far := make([]transport.Stream, limit)
		for i := range limit {
			near[i], far[i] = openPair(t, a, b)
		}
		tryOpen := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, err := a.OpenStream(ctx)
			if err == nil {
				s.Close()
			}
			return err
		}
		full := func(when string) {
			t.Helper()
			if err := tryOpen(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("OpenStream() %s = %v, want a deadline", when, err)
			}
		}
		full("at the limit")
		near[0].Close()
		full("after the opener closed")
		far[1].Close() // near[1] answers a stop by itself
		synctest.Wait()
		s, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() after the acceptor closed = %v", err)
		}
		full("at the limit again")
		s.Close()
		far[0].Close()
		far[2].CloseWrite()
		far[2].Close()
		near[2].CloseWrite()
		near[2].Close()
		synctest.Wait()
		for i := range 2 {
			if _, err := a.OpenStream(t.Context()); err != nil {
				t.Errorf("OpenStream() %d = %v", i, err)
			}
		}
	})
}

// openPair opens a stream and accepts it.
func openPair(t testing.TB, a, b *mux.Conn) (near, far transport.Stream) {
	t.Helper()
	near, err := a.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := near.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if far, err = b.AcceptStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestOpenEndsWithConn(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		for range 16 { // as many as are granted before b says anything
			if _, err := a.OpenStream(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		opened := make(chan error, 1)
		go func() {
			_, err := a.OpenStream(context.Background())
			opened <- err
		}()
		accepted := make(chan error, 1)
		go func() {
			_, err := a.AcceptStream(context.Background())
			accepted <- err
		}()
		b.CloseWithError(kith.Unavailable, "bye")
		for _, ch := range []chan error{opened, accepted} {
			if err := <-ch; !errors.Is(err, transport.ErrClosed) || !strings.Contains(err.Error(), "bye") {
				t.Errorf("a call blocked at the end of the connection = %v", err)
			}
		}
	})
}

// TestReasonSurvives closes on top of a flood from the other side, which must
// not lose the reason to a TCP reset.
func TestReasonSurvives(t *testing.T) {
	for name, link := range links {
		if name == "pipe" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for i := range 30 {
				x, y := link(t)
				a, b := dialedConn(t, x), acceptedConn(t, y)
				near, far := openPair(t, a, b)
				var wg sync.WaitGroup
				wg.Go(func() {
					buf := make([]byte, 50_000)
					for {
						if _, err := near.Write(buf); err != nil {
							return
						}
					}
				})
				wg.Go(func() { io.CopyN(io.Discard, far, 1<<20) })
				reason := fmt.Sprint("close ", i)
				io.CopyN(io.Discard, far, int64(i)*1000)
				b.CloseWithError(kith.Aborted, reason)
				if ce := ended(t, a); ce.Reason != reason || !ce.Remote {
					t.Errorf("the other side sees %v, want %q", ce, reason)
				}
				wg.Wait()
			}
		})
	}
}

func TestCloseReasonIsCut(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		b.Context()
		a.CloseWithError(kith.Aborted, strings.Repeat("ä", 200)+"x")
		want := strings.Repeat("ä", 128)
		if ce := ended(t, b); ce.Reason != want {
			t.Errorf("Reason = %q, want %q", ce.Reason, want)
		}
	})
}

// TestCloseUnused closes connections that nothing was done with, at once from
// several goroutines.
func TestCloseUnused(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { a.CloseWithError(kith.Aborted, "never mind") })
		}
		if ce := ended(t, b); ce.Code != kith.Aborted {
			t.Errorf("the other side sees %v", ce)
		}
		wg.Wait()
		if _, err := a.OpenStream(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("OpenStream() = %v, want net.ErrClosed", err)
		}
	})
}

// TestIdle looks at what an idle connection costs: one goroutine at each end,
// after it was busy, too.
func TestIdle(t *testing.T) {
	x, y := tcpPair(t)
	a, b := dialedConn(t, x), acceptedConn(t, y)
	near, far := openPair(t, a, b)
	var wg sync.WaitGroup
	wg.Go(func() { near.Write(make([]byte, 4<<20)) })
	io.CopyN(io.Discard, far, 4<<20)
	wg.Wait()
	readers, flushers := 0, 0
	for range 1000 { // flushLoop ends soon
		if readers, flushers = loops(); readers == 2 && flushers == 0 {
			return
		}
		near.Write([]byte("x"))
		io.ReadFull(far, make([]byte, 1))
	}
	t.Errorf("%d goroutines read and %d flush for an idle connection, want 2 and 0", readers, flushers)
}

// loops counts the package's goroutines.
func loops() (readers, flushers int) {
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	return strings.Count(stacks, ").readLoop("), strings.Count(stacks, ").flushLoop(")
}

// TestWindowGrows over a link with a long way to go, where the first window
// would allow a tenth of what the link can.
func TestWindowGrows(t *testing.T) {
	const (
		total = 32 << 20
		rtt   = 100 * time.Millisecond
	)
	synctest.Test(t, func(t *testing.T) {
		x, y := delayedPipe(t, rtt/2)
		a := closed(t, mux.New(x, mux.Config{Dialed: true}))
		b := closed(t, mux.New(y, mux.Config{}))
		near, far := openPair(t, a, b)
		start := time.Now()
		go func() {
			near.Write(make([]byte, total))
			near.CloseWrite()
		}()
		if n, err := io.Copy(io.Discard, far); n != total || err != nil {
			t.Fatalf("Copy() = %d, %v", n, err)
		}
		took := time.Since(start)
		fixed := total / (256 << 10) * rtt
		t.Logf("32 MiB over a round trip of %v took %v; with the first window %v", rtt, took, fixed)
		if took > fixed/5 {
			t.Errorf("32 MiB took %v, want less than %v", took, fixed/5)
		}
	})
}
