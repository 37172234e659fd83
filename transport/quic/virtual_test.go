package quic_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
)

// echo serves the streams of a connection until it ends.
func echo(wg *sync.WaitGroup, c transport.Conn) {
	wg.Go(func() {
		for {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() {
				defer s.Close()
				if b, err := io.ReadAll(s); err == nil {
					transport.WriteLast(s, b)
				}
			})
		}
	})
}

// call sends b over a stream of its own and returns what comes back.
func call(c transport.Conn, b []byte) ([]byte, error) {
	s, err := c.OpenStream(context.Background())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := transport.WriteLast(s, b); err != nil {
		return nil, err
	}
	return io.ReadAll(s)
}

// An hour's worth of bad network, where packets also overtake each other and
// every tenth comes twice: what arrives is what was sent. With a loss of up to
// a fifth all of it does; where two of five packets are lost each way, now and
// then nothing gets through for 90 s, and the connection ends.
func TestBadWeather(t *testing.T) {
	for _, loss := range []float64{0, 0.01, 0.05, 0.2, 0.4} {
		synctest.Test(t, func(t *testing.T) {
			const stormy = 0.2 // above it, even handshakes fail
			n := newSimNet()
			if loss <= stormy {
				n.setFate(weather(uint64(loss*100), loss, 0.1))
			}
			p := simPair(t, n)
			n.setFate(weather(uint64(loss*100), loss, 0.1))
			start := time.Now()
			var wg, served sync.WaitGroup
			var done atomic.Int64
			echo(&served, p.accepted)
			for i := range 8 {
				wg.Go(func() {
					for j := range 10 {
						b := bytes.Repeat([]byte{byte(i), byte(j), byte(i * j)}, j*j*500)
						got, err := call(p.dialed, b)
						var ended *transport.ConnError
						if loss > stormy && errors.As(err, &ended) && ended.Code == kith.Unavailable {
							return
						}
						if err != nil || !bytes.Equal(got, b) {
							t.Errorf("call(%d bytes) at %v loss = %d bytes, %v, want them back", len(b), loss, len(got), err)
							return
						}
						done.Add(1)
					}
				})
			}
			wg.Wait()
			t.Logf("loss of %2.0f%%: %d of 80 calls in %v", loss*100, done.Load(), time.Since(start).Round(time.Millisecond))
			p.dialer.Close()
			p.server.Close()
			served.Wait()
		})
	}
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		p := simPair(t, n)
		near, far := stream(t, p.dialed, p.accepted)
		n.setFate(func(_, _ netip.AddrPort, _ int) []time.Duration { return nil })
		start := time.Now()
		if _, err := near.Write([]byte("lost")); err != nil {
			t.Fatalf("Write() = %v, want nil", err)
		}
		if err := near.CloseWrite(); err != nil {
			t.Fatalf("CloseWrite() = %v, want nil", err)
		}
		for _, s := range []transport.Stream{near, far} {
			n, err := s.Read(make([]byte, 10))
			var ce *transport.ConnError
			if n != 0 || !errors.As(err, &ce) || ce.Code != kith.Unavailable || ce.Err == nil || ce.Remote {
				t.Fatalf("Read() over a link that was cut = %d, %#v, want a ConnError with Err", n, err)
			}
			if timeout, ok := ce.Err.(interface{ Timeout() bool }); !ok || !timeout.Timeout() {
				t.Errorf("Read() over a link that was cut = %v, want a timeout", err)
			}
		}
		if d := time.Since(start); d < 80*time.Second || d > 100*time.Second {
			t.Errorf("connection lost after %v, want 90s", d)
		}
	})
}

// A connection that a router has moved to another port goes on, and the
// server sees where it is now.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		p := simPair(t, n)
		near, far := stream(t, p.dialed, p.accepted)
		from := netip.MustParseAddrPort(p.accepted.Info().Remote.Host)
		to := netip.MustParseAddrPort("192.0.2.7:77")
		n.move(from, to)
		if _, err := near.Write([]byte("moved")); err != nil {
			t.Fatalf("Write() = %v, want nil", err)
		}
		if _, err := io.ReadFull(far, make([]byte, 5)); err != nil {
			t.Fatalf("Read() = %v, want nil", err)
		}
		if _, err := far.Write([]byte("seen")); err != nil {
			t.Fatalf("Write() = %v, want nil", err)
		}
		if _, err := io.ReadFull(near, make([]byte, 4)); err != nil {
			t.Fatalf("Read() = %v, want nil", err)
		}
		info := p.accepted.Info()
		if info.Remote.Host != to.String() || info.Remote.ID != p.dialer.ID() {
			t.Errorf("Info().Remote = %v, want %v with the ID as before", info.Remote, to)
		}
	})
}

func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimNet().transport("10.0.0.1", quic.Config{})
		defer d.Close()
		start := time.Now()
		_, err := d.Dial(t.Context(), transport.Addr{ID: kith.NewKey().ID(), Host: "10.0.0.9:1"})
		if err == nil || !strings.Contains(err.Error(), "no answer within 5s") || errors.Is(err, transport.ErrClosed) {
			t.Errorf("Dial(nobody) = %v, want no answer", err)
		}
		if d := time.Since(start); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("Dial(nobody) took %v, want 5s", d)
		}
	})
}

// Strangers begin handshakes by the hundred and never go on.
func TestHandshakeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		server := n.transport("10.0.0.2", quic.Config{MaxHandshakes: 100, MaxHandshakesPerSource: 8, Logger: log})
		defer server.Close()
		l, err := server.Listen(t.Context(), transport.Addr{Host: ":1"})
		if err != nil {
			t.Fatal(err)
		}
		// Whatever is sent to 66.x.x.x gets lost.
		bad := netip.MustParsePrefix("66.0.0.0/8")
		n.setFate(func(_, to netip.AddrPort, _ int) []time.Duration {
			if bad.Contains(to.Addr()) {
				return nil
			}
			return fair
		})
		var wg sync.WaitGroup
		flood := func(ip string) {
			d := n.transport(ip, quic.Config{})
			wg.Go(func() {
				defer d.Close()
				if _, err := d.Dial(t.Context(), l.Addr()); err == nil {
					t.Errorf("Dial() from %v = nil, want an error", ip)
				}
			})
		}
		for i := range 300 {
			flood(netip.AddrFrom4([4]byte{66, byte(i >> 8), byte(i), 1}).String())
		}
		for range 50 {
			flood("66.6.6.6")
		}
		time.Sleep(time.Second)
		good := n.transport("10.0.0.1", quic.Config{})
		defer good.Close()
		start := time.Now()
		if _, err := good.Dial(t.Context(), l.Addr()); err != nil {
			t.Errorf("Dial() in the flood = %v, want nil", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("Dial() in the flood took %v, want at most 2s", d)
		}
		wg.Wait()
		time.Sleep(time.Minute)
		server.Close()
		lines := strings.Count(out.String(), "handshake failed")
		if lines == 0 || lines > 100 {
			t.Errorf("%d messages about failed handshakes, want some, and not many:\n%.1000s", lines, &out)
		}
	})
}

// One source gets its share of the handshakes, and no more.
func TestHandshakesPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		server := n.transport("10.0.0.2", quic.Config{MaxHandshakesPerSource: 4})
		defer server.Close()
		l, err := server.Listen(t.Context(), transport.Addr{Host: ":1"})
		if err != nil {
			t.Fatal(err)
		}
		d := n.transport("10.0.0.1", quic.Config{})
		defer d.Close()
		var wg sync.WaitGroup
		errs := make(chan error, 50)
		for range cap(errs) {
			wg.Go(func() {
				_, err := d.Dial(t.Context(), l.Addr())
				errs <- err
			})
		}
		wg.Wait()
		close(errs)
		good := 0
		for err := range errs {
			switch {
			case err == nil:
				good++
			case !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "no answer"):
				// quic-go has room for a few refusals at a time, and all
				// the others come again at the same moment.
				t.Errorf("Dial() above the limit = %v, want a refusal", err)
			}
		}
		if good < 4 || good > 45 {
			t.Errorf("%d of %d dials at once succeeded, want at least 4 and not all", good, cap(errs))
		}
		for range good {
			if _, err := l.Accept(t.Context()); err != nil {
				t.Fatalf("Accept() = %v", err)
			}
		}
		if _, err := d.Dial(t.Context(), l.Addr()); err != nil {
			t.Errorf("Dial() when all have been accepted = %v, want nil", err)
		}
	})
}

// A host goes down and comes back with the same key and port.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		p := simPair(t, n)
		n.crash("10.0.0.2")
		<-p.accepted.Context().Done()
		if e := transport.ConnErr(p.accepted.Context()); e == nil || e.Code != kith.Unavailable || e.Err == nil {
			t.Errorf("ConnErr() = %v, want Unavailable with Err", e)
		}
		if _, err := p.listener.Accept(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Accept() on a socket that failed = %v, want ErrClosed", err)
		}
		again, err := p.server.Listen(t.Context(), transport.Addr{Host: ":4433"})
		if err != nil {
			t.Fatalf("Listen() = %v", err)
		}
		n.crash("10.0.0.1")
		synctest.Wait() // quic-go has noticed: the socket is made anew
		dialAndAccept(t, p.dialer, again)
	})
}

func TestPacketsPerCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSimNet()
		p := simPair(t, n)
		var served sync.WaitGroup
		echo(&served, p.accepted)
		time.Sleep(time.Second) // MTU discovery is through
		sent := 0
		n.setFate(func(_, _ netip.AddrPort, _ int) []time.Duration { sent++; return fair })
		const calls = 100
		for range calls {
			if _, err := call(p.dialed, make([]byte, 100)); err != nil {
				t.Fatalf("call() = %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		n.setFate(perfect)
		t.Logf("%.1f packets a call, both ways", float64(sent)/calls)
		if sent > 6*calls {
			t.Errorf("%d packets for %d calls, want at most %d", sent, calls, 6*calls)
		}
		p.dialer.Close()
		p.server.Close()
		served.Wait()
	})
}
