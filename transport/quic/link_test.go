package quic_test

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	quicgo "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// A blockTracer counts how often a sender says that it has to wait for
// credit. One recorder serves all connections.
type blockTracer struct{ stream, conn, lost atomic.Int64 }

func (b *blockTracer) AddProducer() qlogwriter.Recorder { return b }
func (b *blockTracer) Close() error                     { return nil }

func (b *blockTracer) RecordEvent(e qlogwriter.Event) {
	switch e := e.(type) {
	case qlog.PacketLost:
		b.lost.Add(1)
	case qlog.PacketSent:
		for _, f := range e.Frames {
			switch f.Frame.(type) {
			case *qlog.DataBlockedFrame:
				b.conn.Add(1)
			case *qlog.StreamDataBlockedFrame:
				b.stream.Add(1)
			}
		}
	}
}

// narrow makes a fate: packets of each direction go one after the other at a
// rate in bytes per second, wait in a queue that holds so many bytes, and
// travel for a delay.
func narrow(rate, queue int, delay time.Duration) func(from, to netip.AddrPort, size int) []time.Duration {
	free := make(map[netip.Addr]time.Time) // when the sender's last packet is through
	const header = 28                      // of IP and UDP
	return func(from, _ netip.AddrPort, size int) []time.Duration {
		now := time.Now()
		at := free[from.Addr()]
		if at.Before(now) {
			at = now
		}
		if at.Sub(now) > time.Duration(queue)*time.Second/time.Duration(rate) {
			return nil
		}
		at = at.Add(time.Duration(size+header) * time.Second / time.Duration(rate))
		free[from.Addr()] = at
		return []time.Duration{at.Sub(now) + delay}
	}
}

// One stream over a link of 100 Mbit/s with a round trip of 100 ms: once the
// windows have grown, they are not what it waits for.
func TestWindowsFitTheLink(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("hundreds of thousands of packets")
	}
	synctest.Test(t, func(t *testing.T) {
		const (
			rate   = 100e6 / 8
			warmUp = 5 * time.Second
			window = 10 * time.Second
		)
		n := newSimNet()
		n.setFate(narrow(rate, rate/10, 50*time.Millisecond))
		var blocked blockTracer
		dialer, server := n.transport("10.0.0.1", quic.Config{}), n.transport("10.0.0.2", quic.Config{Key: kith.NewKey()})
		quic.Trace(dialer, func(context.Context, bool, quicgo.ConnectionID) qlogwriter.Trace { return &blocked })
		p := connect(t, dialer, server, ":4433")
		near, far := stream(t, p.dialed, p.accepted)
		var writing sync.WaitGroup
		writing.Go(func() {
			b := make([]byte, 64<<10)
			for {
				if _, err := near.Write(b); err != nil {
					return
				}
			}
		})
		read := func(until time.Time) (n int) {
			b := make([]byte, 64<<10)
			far.SetReadDeadline(until)
			for {
				k, err := far.Read(b)
				n += k
				if err != nil {
					return n
				}
			}
		}
		early := read(time.Now().Add(warmUp))
		t.Logf("first %v: %.0f%% of the link, had to wait for the stream's window %d times, for the connection's %d times", warmUp,
			100*float64(early)/(rate*warmUp.Seconds()), blocked.stream.Swap(0), blocked.conn.Swap(0))
		got := read(time.Now().Add(window))
		share := float64(got) / (rate * window.Seconds())
		t.Logf("next %v: %.0f%% of the link, %d packets lost", window, 100*share, blocked.lost.Load())
		if s, c := blocked.stream.Load(), blocked.conn.Load(); s != 0 || c != 0 {
			t.Errorf("the sender waited %d times for the stream's window, %d times for the connection's, want never once they have grown", s, c)
		}
		if share < 0.5 {
			t.Errorf("the stream has %.0f%% of the link, want at least half of it", 100*share)
		}
		near.Reset(kith.Canceled)
		writing.Wait()
	})
}

// The receive windows of all connections together grow out of one budget, and
// no further, however many there are; nor does any of them stop.
func TestWindowsShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			conns  = 4
			budget = 4 << 20 // of the 60 MiB that they might take
			size   = 6 << 20
		)
		defer quic.SpendWindows(budget)()
		spent := quic.WindowsGrown()
		n := newSimNet()
		n.setFate(func(_, _ netip.AddrPort, _ int) []time.Duration { return []time.Duration{20 * time.Millisecond} })
		dialer, server := n.transport("10.0.0.1", quic.Config{}), n.transport("10.0.0.2", quic.Config{Key: kith.NewKey()})
		p := connect(t, dialer, server, ":4433")
		var all sync.WaitGroup
		var most atomic.Uint64
		transfer := func(from, to transport.Conn) {
			near, far := stream(t, from, to)
			all.Go(func() {
				if err := transport.WriteLast(near, make([]byte, size)); err != nil {
					t.Errorf("WriteLast() = %v, want nil", err)
				}
			})
			all.Go(func() {
				got, b := 0, make([]byte, 64<<10)
				for {
					k, err := far.Read(b)
					got += k
					most.Store(max(most.Load(), quic.WindowsGrown()-spent))
					if err != nil {
						break
					}
				}
				if got != size {
					t.Errorf("Read() of all = %d bytes, want %d", got, size)
				}
			})
		}
		transfer(p.dialed, p.accepted)
		ends := []transport.Conn{p.accepted}
		for range conns - 1 {
			dialed, accepted := dialAndAccept(t, dialer, p.listener)
			ends = append(ends, accepted)
			transfer(dialed, accepted)
		}
		all.Wait()
		t.Logf("windows of %d connections grew by %d KiB together, the budget was %d KiB", conns, most.Load()>>10, budget>>10)
		if k := most.Load(); k > budget || k < budget/2 {
			t.Errorf("windows grew by %d bytes together, want at most the budget of %d, and most of that", k, budget)
		}
		dialer.Close()
		for _, c := range ends {
			<-c.Context().Done()
		}
		if k := quic.WindowsGrown(); k != spent {
			t.Errorf("windows hold %d bytes when all connections have ended, want 0", k-spent)
		}
	})
}
