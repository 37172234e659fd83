package quic_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	quicgo "github.com/quic-go/quic-go"
)

func udpPair(t *testing.T, cfg quic.Config) *pair {
	t.Helper()
	return connect(t, quic.New(quic.Config{}), quic.New(cfg), "127.0.0.1:0")
}

// A place for a stream is free only when its owner has finished it, whatever
// the side that opened it does.
func TestSlotIsHeldByItsOwner(t *testing.T) {
	p := udpPair(t, quic.Config{MaxStreams: 1})
	for _, finish := range []func(s transport.Stream){
		func(s transport.Stream) { s.Close() },
		func(s transport.Stream) { s.Reset(kith.Aborted) },
		func(s transport.Stream) { io.ReadAll(s); s.CloseWrite(); s.Close() },
	} {
		near, far := stream(t, p.dialed, p.accepted)
		near.Reset(kith.Canceled)
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Fatal("Read() after the other side's Reset = nil, want an error")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := p.dialed.OpenStream(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("OpenStream() before the owner has finished = %v, want DeadlineExceeded", err)
		}
		cancel()
		finish(far)
		s, err := p.dialed.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() after the owner has finished = %v, want nil", err)
		}
		s.Close()
		s, err = p.accepted.AcceptStream(t.Context())
		if err != nil {
			t.Fatalf("AcceptStream() = %v", err)
		}
		s.Close()
	}
}

// Of several that wait in AcceptStream, each gets a stream.
func TestManyAccept(t *testing.T) {
	p := udpPair(t, quic.Config{})
	const n = 20
	for range 20 {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if _, err := p.accepted.AcceptStream(t.Context()); err != nil {
					t.Errorf("AcceptStream() = %v, want nil", err)
				}
			})
		}
		for range n {
			s, err := p.dialed.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Errorf("CloseWrite() = %v, want nil", err)
			}
		}
		wg.Wait()
	}
}

// fill writes to s until it blocks, in a Write whose outcome is sent. It must
// be called in a bubble.
func fill(t *testing.T, s transport.Stream) <-chan error {
	t.Helper()
	s.SetWriteDeadline(time.Now().Add(time.Second))
	for {
		if _, err := s.Write(make([]byte, 64<<10)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("Write() = %v, want os.ErrDeadlineExceeded", err)
			}
			break
		}
	}
	s.SetWriteDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		p := make([]byte, 64<<10)
		_, err := s.Write(p)
		copy(p, "a Write that has returned does not look at p")
		done <- err
	}()
	synctest.Wait()
	return done
}

// What is beside a Write that blocks: the other side gets all of it, or sees
// that it did not.
func TestBesideWrite(t *testing.T) {
	var reset *transport.StreamError
	for _, tt := range []struct {
		name  string
		do    func(near, far transport.Stream)
		write error // of the Write
		read  bool  // whether the other side reads to io.EOF
	}{
		{"CloseWrite", func(near, _ transport.Stream) { near.CloseWrite() }, nil, true},
		{"CloseWrite and a deadline", func(near, _ transport.Stream) {
			near.CloseWrite()
			near.SetWriteDeadline(time.Now())
		}, os.ErrDeadlineExceeded, false},
		{"a deadline and CloseWrite", func(near, _ transport.Stream) {
			near.SetWriteDeadline(time.Now())
			synctest.Wait()
			near.CloseWrite()
		}, os.ErrDeadlineExceeded, true},
		{"Close", func(near, _ transport.Stream) { near.Close() }, transport.ErrClosed, false},
		{"CloseWrite and Close", func(near, _ transport.Stream) {
			near.CloseWrite()
			near.Close()
		}, transport.ErrClosed, false},
		{"Reset", func(near, _ transport.Stream) { near.Reset(kith.Canceled) }, transport.ErrClosed, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := simPair(t, newSimNet())
			near, far := stream(t, p.dialed, p.accepted)
			wrote := fill(t, near)
			tt.do(near, far)
			_, err := io.Copy(io.Discard, far)
			if tt.read && err != nil || !tt.read && (!errors.As(err, &reset) || !reset.Remote || reset.Code != kith.Canceled) {
				t.Errorf("Read() with %s beside Write = %v, want io.EOF: %v", tt.name, err, tt.read)
			}
			if err := <-wrote; !errors.Is(err, tt.write) {
				t.Errorf("Write() with %s beside it = %v, want %v", tt.name, err, tt.write)
			}
			if _, err := near.Write([]byte("more")); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Write() after %s = %v, want ErrClosed", tt.name, err)
			}
		})
	}
}

// The other side's Close before it read all is an error of Write, and not of
// CloseWrite, which has nothing left to do.
func TestOtherSideStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := simPair(t, newSimNet())
		near, far := stream(t, p.dialed, p.accepted)
		wrote := fill(t, near)
		far.Close()
		var reset *transport.StreamError
		if err := <-wrote; !errors.As(err, &reset) || !reset.Remote {
			t.Errorf("Write() at the other side's Close = %v, want a StreamError", err)
		}
		if err := near.CloseWrite(); err != nil {
			t.Errorf("CloseWrite() = %v, want nil", err)
		}
		near.Close()
		if err := near.CloseWrite(); err != nil {
			t.Errorf("CloseWrite() again = %v, want nil", err)
		}
		near, _ = stream(t, p.dialed, p.accepted)
		near.Close()
		if err := near.CloseWrite(); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("CloseWrite() after Close = %v, want ErrClosed", err)
		}
		near, _ = stream(t, p.dialed, p.accepted)
		p.dialed.CloseWithError(kith.Aborted, "")
		if err := near.CloseWrite(); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("CloseWrite() on a connection that is closed = %v, want ErrClosed", err)
		}
	})
}

// Receive windows grow with use, out of a budget to which they return.
func TestWindows(t *testing.T) {
	for _, spent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newSimNet()
			n.setFate(func(_, _ netip.AddrPort, _ int) []time.Duration { return []time.Duration{5 * time.Millisecond} })
			if spent {
				defer quic.SpendWindows(0)()
			}
			before := quic.WindowsGrown()
			p := simPair(t, n)
			near, far := stream(t, p.dialed, p.accepted)
			go func() {
				near.Write(make([]byte, 16<<20))
				near.CloseWrite()
			}()
			if k, err := io.Copy(io.Discard, far); k != 16<<20 || err != nil {
				t.Errorf("Read() of all = %d, %v, want 16 MiB", k, err)
			}
			if grown := quic.WindowsGrown() - before; (grown > 0) == spent || grown > 15<<20 {
				t.Errorf("windows grew by %d, with the budget spent: %v", grown, spent)
			}
			p.dialed.CloseWithError(0, "")
			<-p.accepted.Context().Done()
			if grown := quic.WindowsGrown() - before; grown != 0 {
				t.Errorf("windows hold %d when the connection has ended, want 0", grown)
			}
		})
	}
}

func TestDeadlineKinds(t *testing.T) {
	p := udpPair(t, quic.Config{})
	near, _ := stream(t, p.dialed, p.accepted)
	for _, d := range []time.Time{time.Unix(1, 0), time.Now(), time.Now().Add(20 * time.Millisecond)} {
		near.SetReadDeadline(d)
		_, err := near.Read(make([]byte, 1))
		var ne net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("Read() at deadline %v = %v, want os.ErrDeadlineExceeded", d, err)
		}
	}
	for _, d := range []time.Time{{}, time.Now().Add(200 * 365 * 24 * time.Hour), time.Now().Add(math.MaxInt64)} {
		near.SetReadDeadline(d)
		read := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		near.SetReadDeadline(time.Now())
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read() when the deadline %v is moved to now = %v, want os.ErrDeadlineExceeded", d, err)
		}
	}
}

// Other implementations may send codes and reasons that kith does not.
func TestForeignCodes(t *testing.T) {
	server := quic.New(quic.Config{})
	defer server.Close()
	l, err := server.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := (&identity.Holder{Key: kith.NewKey()}).ClientTLS(l.Addr().ID)
	if err != nil {
		t.Fatal(err)
	}
	qc, err := quicgo.DialAddr(t.Context(), l.Addr().Host, conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	qs, err := qc.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	qs.CancelWrite(1 << 40)
	s, err := c.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var reset *transport.StreamError
	if _, err := s.Read(make([]byte, 1)); !errors.As(err, &reset) || reset.Code != kith.Unknown || !reset.Remote {
		t.Errorf("Read() after a reset with code 1<<40 = %v, want Unknown", err)
	}
	s.Close()
	qc.CloseWithError(1<<33, strings.Repeat("y", 900))
	<-c.Context().Done()
	e := transport.ConnErr(c.Context())
	if e.Code != kith.Unknown || len(e.Reason) != transport.MaxReason || !e.Remote {
		t.Errorf("ConnErr() = %+v, want Unknown and a reason of %d bytes", e, transport.MaxReason)
	}
}
