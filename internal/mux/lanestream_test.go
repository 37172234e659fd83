package mux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// laneBytes is a buffer for WriteLane with n bytes that tell their place.
func laneBytes(n int) []byte {
	b := make([]byte, mux.Headroom+n)
	for i := range n {
		b[mux.Headroom+i] = byte(i ^ i>>8)
	}
	return b
}

// acceptLane returns the lane of a as a stream of b, which has no StartLane: the
// first bytes, hi, were read.
func acceptLane(t *testing.T, a, b *mux.Conn) transport.Stream {
	t.Helper()
	b.Context() // reads, as a pipe takes nothing in that is not read
	a.StartLane(newLaneLog(0))
	if err := a.WriteLane(append(make([]byte, mux.Headroom), "hi"...)); err != nil {
		t.Fatalf("WriteLane(hi) = %v", err)
	}
	lane, err := b.AcceptStream(t.Context())
	if err != nil {
		t.Fatalf("AcceptStream() = %v", err)
	}
	got := make([]byte, 2)
	if _, err := io.ReadFull(lane, got); err != nil || string(got) != "hi" {
		t.Fatalf("Read() = %q, %v, want hi", got, err)
	}
	return lane
}

// The lane of an end that has a session is a stream at one that has none,
// beside which all others work.
func TestLaneAsStream(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		const much = 3<<20 + 5 // more than is kept unread
		back := newLaneLog(much)
		b.Context() // reads, as a pipe takes nothing in that is not read
		a.StartLane(back)
		if err := a.WriteLane(append(make([]byte, mux.Headroom), "hi"...)); err != nil {
			t.Fatalf("WriteLane(hi) = %v", err)
		}
		lane, err := b.AcceptStream(t.Context()) // before so much comes that nobody takes
		if err != nil {
			t.Fatalf("AcceptStream() = %v", err)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			if err := a.WriteLane(laneBytes(much)); err != nil {
				t.Errorf("WriteLane(%d bytes) = %v", much, err)
			}
		})
		want := laneBytes(much)[mux.Headroom:]
		got := make([]byte, 2+much)
		if _, err := io.ReadFull(lane, got); err != nil || string(got[:2]) != "hi" || !bytes.Equal(got[2:], want) {
			t.Fatalf("Read() of %d bytes = %v, or others than were written", len(got), err)
		}
		wg.Go(func() {
			if n, err := lane.Write(want); n != much || err != nil {
				t.Errorf("Write(%d bytes) = %d, %v", much, n, err)
			}
		})
		<-back.reached
		if !bytes.Equal(back.got, want) {
			t.Error("other bytes came back than were written")
		}
		s, err := b.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() = %v", err)
		}
		s.CloseWrite()
		var reset *transport.StreamError
		if _, err := s.Read(make([]byte, 1)); !errors.As(err, &reset) || reset.Code != kith.Unimplemented {
			t.Errorf("Read() = %v, want what the session at the other end does with streams", err)
		}
	})
}

// The deadlines, the end and the closing of a lane that is a stream are those of
// any stream, as far as this end goes.
func TestLaneStreamEnds(t *testing.T) {
	var streamErr *transport.StreamError
	t.Run("deadlines", func(t *testing.T) {
		overLinks(t, func(t *testing.T, a, b *mux.Conn) {
			lane := acceptLane(t, a, b)
			if err := lane.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Fatalf("SetReadDeadline() = %v", err)
			}
			if n, err := lane.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read() at its deadline = %d, %v", n, err)
			}
			if err := lane.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
				t.Fatalf("SetWriteDeadline() = %v", err)
			}
			if n, err := lane.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write() after its deadline = %d, %v", n, err)
			}
		})
	})
	t.Run("close", func(t *testing.T) {
		overLinks(t, func(t *testing.T, a, b *mux.Conn) {
			lane := acceptLane(t, a, b)
			read := make(chan error, 1)
			go func() {
				_, err := lane.Read(make([]byte, 1))
				read <- err
			}()
			lane.Reset(kith.Aborted)
			if err := lane.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			if err := <-read; !errors.As(err, &streamErr) || streamErr.Code != kith.Aborted || streamErr.Remote {
				t.Errorf("Read() after Reset = %v", err)
			}
			if n, err := lane.Write([]byte("x")); n != 0 || !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Write() after Close = %d, %v", n, err)
			}
			if err := lane.SetReadDeadline(time.Time{}); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("SetReadDeadline() after Close = %v", err)
			}
			// What still comes holds nobody up.
			if err := a.WriteLane(laneBytes(1 << 20)); err != nil {
				t.Errorf("WriteLane() = %v", err)
			}
		})
	})
	t.Run("connection", func(t *testing.T) {
		overLinks(t, func(t *testing.T, a, b *mux.Conn) {
			lane := acceptLane(t, a, b)
			a.CloseWithError(kith.Aborted, "enough")
			_, err := lane.Read(make([]byte, 1))
			var ce *transport.ConnError
			if !errors.As(err, &ce) || ce.Code != kith.Aborted || !ce.Remote {
				t.Errorf("Read() = %v, want the end of the connection", err)
			}
			if _, err := lane.Write([]byte("x")); !errors.As(err, &ce) {
				t.Errorf("Write() = %v, want the end of the connection", err)
			}
		})
	})
}

// A lane that is not read holds the link's reader up, and nothing worse: the
// end of this connection frees it.
func TestUnreadLaneStream(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		acceptLane(t, a, b)
		wrote := make(chan error, 1)
		go func() { wrote <- a.WriteLane(laneBytes(16 << 20)) }()
		s, err := b.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() = %v", err)
		}
		if _, err := s.Write([]byte("x")); err != nil {
			t.Errorf("Write() beside an unread lane = %v", err)
		}
		b.CloseWithError(kith.OK, "")
		if err := <-wrote; err == nil {
			t.Error("WriteLane() = nil, with nobody to read it")
		}
	})
}

// Whatever was done with a connection before, StartLane does not panic; it
// takes the lane as long as nothing came.
func TestStartLaneLate(t *testing.T) {
	for name, c := range map[string]struct {
		use  func(t *testing.T, a, b *mux.Conn)
		want bool
	}{
		"nothing done":  {func(*testing.T, *mux.Conn, *mux.Conn) {}, true},
		"context taken": {func(_ *testing.T, _, b *mux.Conn) { b.Context() }, true},
		"accept given up": {func(t *testing.T, _, b *mux.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := b.AcceptStream(ctx); err == nil {
				t.Error("AcceptStream(ended ctx) = nil")
			}
		}, true},
		"stream opened": {func(t *testing.T, _, b *mux.Conn) {
			if _, err := b.OpenStream(t.Context()); err != nil {
				t.Errorf("OpenStream() = %v", err)
			}
		}, false},
		"stream accepted": {func(t *testing.T, a, b *mux.Conn) { openPair(t, a, b) }, false},
		"lane accepted":   {func(t *testing.T, a, b *mux.Conn) { acceptLane(t, a, b) }, false},
		"lane started":    {func(_ *testing.T, _, b *mux.Conn) { b.StartLane(newLaneLog(0)) }, false},
		"ended":           {func(_ *testing.T, _, b *mux.Conn) { b.CloseWithError(kith.OK, "") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			x, y := tcpPair(t)
			a, b := dialedConn(t, x), acceptedConn(t, y)
			c.use(t, a, b)
			if got := b.StartLane(newLaneLog(0)); got != c.want {
				t.Errorf("StartLane() = %v, want %v", got, c.want)
			}
		})
	}
}

// A bare lane leaves the other side's streams to AcceptStream.
func TestBareLane(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		log := newLaneLog(2)
		log.stream = func(*mux.Stream) { t.Error("a stream was handed over") }
		if !b.StartBareLane(log) {
			t.Error("StartBareLane() = false")
		}
		a.StartLane(newLaneLog(0))
		if err := a.WriteLane(append(make([]byte, mux.Headroom), "hi"...)); err != nil {
			t.Errorf("WriteLane() = %v", err)
		}
		openPair(t, a, b)
		<-log.reached
		if string(log.got) != "hi" {
			t.Errorf("%q came on the lane, want hi", log.got)
		}
	})
}
