package memory_test

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

const window = 256 << 10

func TestPartition(t *testing.T) {
	for _, link := range []memory.Link{{}, {Latency: 20 * ms, Bandwidth: 1 << 20}} {
		bubble(t, func(t *testing.T) {
			f := hosts(t, memory.NetworkConfig{Link: link})
			as, bs := f.stream()
			f.net.Partition("a", "b")
			if n := f.fill(as); n != window {
				t.Errorf("%d bytes fit into a stream that is cut off, want %d", n, window)
			}
			f.write(bs, 100)
			bs.SetReadDeadline(time.Now().Add(time.Hour))
			if n, err := bs.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read() of what is cut off = %d, %v, want os.ErrDeadlineExceeded", n, err)
			}
			bs.SetReadDeadline(time.Time{})
			f.alive("a", f.ac)
			f.alive("b", f.bc)

			start := time.Now()
			f.net.Heal("a", "b")
			f.read(as, 100)
			f.read(bs, window)
			want := link.Latency
			if link.Bandwidth > 0 {
				want += time.Second / 4
			}
			f.took("what had waited", start, want)
		})
	}
}

func TestPartitionResendsWhatWasOnItsWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 40 * ms}})
		as, bs := f.stream()
		f.write(as, 10)
		time.Sleep(10 * ms)
		f.net.Partition("a", "b")
		time.Sleep(time.Hour)
		f.net.Heal("a", "b")
		start := time.Now()
		f.read(bs, 10)
		f.took("what was on its way", start, 40*ms)
	})
}

func TestPartitionDial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		f.net.Partition("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := f.a.Dial(ctx, f.l.Addr()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial() = %v, want context.DeadlineExceeded", err)
		}
		f.took("Dial", start, time.Minute)

		time.AfterFunc(time.Hour, func() { f.net.Heal("a", "b") })
		start = time.Now()
		link(t, f.a, f.l)
		f.took("Dial until Heal", start, time.Hour)

		f.net.Partition("a", "b")
		f.net.SetLink("a", "b", memory.Link{Refuse: true})
		_, err := f.a.Dial(t.Context(), f.l.Addr())
		if !errors.Is(err, memory.ErrRefused) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial() over a link that refuses = %v, want ErrRefused", err)
		}
	})
}

// TestPartitionHidesClose checks that the news of a close waits for Heal.
func TestPartitionHidesClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		f.net.Partition("a", "b")
		f.ac.CloseWithError(kith.Aborted, "bye")
		synctest.Wait()
		f.alive("b", f.bc)
		f.net.Heal("a", "b")
		<-f.bc.Context().Done()
		if e := transport.ConnErr(f.bc.Context()); e.Reason != "bye" || !e.Remote {
			t.Errorf("the other end ended with %v, want what CloseWithError gave", e)
		}
	})
}

func TestStall(t *testing.T) {
	ways := map[string]func(f *fixture, s transport.Stream){
		"SetWriteDeadline": func(_ *fixture, s transport.Stream) { s.SetWriteDeadline(time.Now()) },
		"Reset":            func(_ *fixture, s transport.Stream) { s.Reset(3) },
		"Close":            func(_ *fixture, s transport.Stream) { s.Close() },
		"CloseWithError":   func(f *fixture, _ transport.Stream) { f.ac.CloseWithError(0, "") },
		"Transport.Close":  func(f *fixture, _ transport.Stream) { f.a.Close() },
		"Network.Reset":    func(f *fixture, _ transport.Stream) { f.net.Reset("a", "b") },
		"Network.Close":    func(f *fixture, _ transport.Stream) { f.net.Close() },
	}
	for name, unblock := range ways {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := hosts(t, memory.NetworkConfig{})
				as, bs := f.stream()
				f.net.Stall("a", "b")
				f.write(bs, 1) // the other direction goes on
				f.read(as, 1)
				if n := f.fill(as); n != window {
					t.Errorf("%d bytes fit into a stalled stream, want %d", n, window)
				}
				stuck := make(chan error)
				go func() {
					_, err := as.Write([]byte("x"))
					stuck <- err
				}()
				synctest.Wait()
				unblock(f, as)
				if err := <-stuck; err == nil {
					t.Errorf("Write() = nil, want an error")
				}
			})
		})
	}
}

func TestUnstall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 10 * ms}})
		as, bs := f.stream()
		f.write(as, 10)
		f.net.Stall("a", "b")
		time.Sleep(time.Hour)
		f.write(as, 5)
		f.net.Unstall("a", "b")
		start := time.Now()
		f.read(bs, 10)
		f.took("what is overdue", start, 0)
		f.read(bs, 5)
		f.took("what is new", start, 10*ms)
	})
}

func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		as, bs := f.stream()
		f.net.Reset("b", "a")
		f.lost("a", f.ac)
		f.lost("b", f.bc)
		for _, s := range []transport.Stream{as, bs} {
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Read() after Network.Reset = %v, want ErrClosed", err)
			}
		}
		f.ac, f.bc = link(t, f.a, f.l)
		f.stream()
	})
}

func TestDownSilently(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		as, _ := f.stream()
		f.net.Down("b", memory.Silently)
		f.lost("b", f.bc)
		if _, err := f.l.Accept(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Accept() on a host that is down = %v, want ErrClosed", err)
		}
		if _, err := f.b.Listen(t.Context(), transport.Addr{}); err == nil {
			t.Errorf("Listen() on a host that is down = nil, want an error")
		}
		if _, err := f.b.Dial(t.Context(), f.l.Addr()); err == nil {
			t.Errorf("Dial() on a host that is down = nil, want an error")
		}
		if n := f.fill(as); n != window {
			t.Errorf("%d bytes fit into a stream to a dead host, want %d", n, window)
		}
		time.Sleep(time.Hour)
		f.alive("a", f.ac)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := f.a.Dial(ctx, f.l.Addr()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial() of a host that is down = %v, want context.DeadlineExceeded", err)
		}
	})
}

func TestUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 5 * ms}})
		as, _ := f.stream()
		f.net.Down("b", memory.Silently)
		time.AfterFunc(time.Hour, func() { f.net.Up("b") })
		if _, err := f.a.Dial(t.Context(), f.l.Addr()); !errors.Is(err, memory.ErrRefused) {
			t.Errorf("Dial() of a host that has come back without a listener = %v, want ErrRefused", err)
		}
		l, err := f.b.Listen(t.Context(), f.l.Addr())
		if err != nil {
			t.Fatalf("Listen(%v) again = %v, want nil", f.l.Addr(), err)
		}
		f.alive("a", f.ac) // it has not sent anything since
		ac, bc := link(t, f.a, l)
		start := time.Now()
		f.write(as, 1)
		<-f.ac.Context().Done()
		f.took("the reset after a write", start, 10*ms)
		f.lost("a", f.ac)
		f.ac, f.bc = ac, bc
		f.stream()
	})
}

func TestDownWithReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		f.net.Down("b", memory.WithReset)
		f.lost("a", f.ac)
		f.lost("b", f.bc)
		if s := f.net.Stats(); s.Conns != 0 || s.Listeners != 0 {
			t.Errorf("Stats() = %+v, want no connections and listeners", s)
		}
	})
}

// TestDownEndsDial checks that a crash ends the Dials of the crashed host.
func TestDownEndsDial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		f.net.Partition("a", "b")
		time.AfterFunc(time.Second, func() { f.net.Down("a", memory.Silently) })
		if c, err := f.a.Dial(t.Context(), f.l.Addr()); err == nil {
			t.Errorf("Dial() = %v, want an error", c)
		}
	})
}

func TestMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		as, bs := f.stream()
		old := f.l.Addr()
		other, err := f.b.Listen(t.Context(), transport.Addr{Host: "printer"})
		if err != nil {
			t.Fatalf("Listen(printer) = %v, want nil", err)
		}
		f.net.Move("b", "cafe", memory.Silently)
		if got, want := f.l.Addr(), (transport.Addr{Scheme: "memory", ID: f.b.ID(), Host: "cafe:1"}); got != want {
			t.Errorf("Addr() after the move = %v, want %v", got, want)
		}
		if got := other.Addr().Host; got != "cafe" {
			t.Errorf("Addr().Host of another listener = %q, want %q", got, "cafe")
		}
		if _, err := f.a.Dial(t.Context(), old); !errors.Is(err, memory.ErrRefused) {
			t.Errorf("Dial(%v) = %v, want ErrRefused", old, err)
		}
		f.write(as, 10)
		bs.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := bs.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read() on a connection that has gone silent = %d, %v, want os.ErrDeadlineExceeded", n, err)
		}
		f.alive("a", f.ac)
		f.alive("b", f.bc)

		f.ac, f.bc = link(t, f.a, f.l)
		if got := f.ac.Info().Remote.Host; got != "cafe:1" {
			t.Errorf("Info().Remote.Host = %q, want %q", got, "cafe:1")
		}
		f.stream()
		f.net.Move("b", "home", memory.WithReset)
		f.lost("a", f.ac)
		f.lost("b", f.bc)
	})
}

// TestLoopbackSurvives checks that what a host has with itself outlives moves
// and partitions.
func TestLoopbackSurvives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: time.Hour}})
		f.a = f.net.Transport(memory.Config{Host: "b"})
		start := time.Now()
		f.ac, f.bc = link(t, f.a, f.l)
		f.net.Move("b", "cafe", memory.WithReset)
		f.net.Partition("a", "b")
		f.stream()
		f.took("all on one host", start, 0)
	})
}

// TestCloseLeavesInFlight ends a network with all kinds of things on the way.
func TestCloseLeavesInFlight(t *testing.T) {
	f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 5 * ms, Bandwidth: 1 << 20}})
	as, bs := f.stream()
	go io.Copy(io.Discard, bs)
	f.write(as, 100_000)
	other, _ := f.stream()
	f.write(other, 100_000)
	other.Reset(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.a.Dial(ctx, f.l.Addr()); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial() = %v, want context.Canceled", err)
	}
	f.net.Close()
	if _, err := f.a.Dial(t.Context(), f.l.Addr()); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Dial() after Close = %v, want ErrClosed", err)
	}
	if _, err := f.net.Transport(memory.Config{}).Listen(t.Context(), transport.Addr{}); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Listen() after Close = %v, want ErrClosed", err)
	}
}
