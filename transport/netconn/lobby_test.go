package netconn

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/bpf"

	"github.com/kith-go/kith/internal/bar"
	"github.com/kith-go/kith/internal/ration"
)

// A caller is a connection that does nothing but come from somewhere and end.
type caller struct {
	net.Conn
	from  net.Addr
	once  sync.Once
	begun chan *guest   // cap 1; sent to when its handshake is started
	gone  chan struct{} // closed by Close
}

func from(ip net.IP) *caller {
	return &caller{from: &net.TCPAddr{IP: ip, Port: 1}, begun: make(chan *guest, 1), gone: make(chan struct{})}
}

func (c *caller) RemoteAddr() net.Addr { return c.from }

func (c *caller) Close() error {
	c.once.Do(func() { close(c.gone) })
	return nil
}

func newLobby(rate int) *lobby {
	b := new(lobby)
	start := func(g *guest) { g.raw.(*caller).begun <- g }
	b.init(defaultHandshakes, defaultPerSource, ration.NewSpacing(rate, handshakeBurst), start)
	return b
}

// shake does what handshakeHandler does, with a handshake that takes d. It
// reports whether the handshake began, and whether it was done.
func shake(b *lobby, ip net.IP, d time.Duration) (begun, done bool) {
	return shakeIn(b, ip, d, func(c *caller) bool {
		_, ok := b.enter(c)
		return ok
	})
}

// shakeIn is shake of a connection that comes to the lobby by enter.
func shakeIn(b *lobby, ip net.IP, d time.Duration, enter func(*caller) bool) (begun, done bool) {
	c := from(ip)
	if !enter(c) {
		return false, false
	}
	select {
	case g := <-c.begun:
		defer b.leave(g)
	case <-c.gone:
		return false, false
	}
	select {
	case <-time.After(d):
		return true, true
	case <-c.gone:
		return true, false
	}
}

// However often a source comes, its handshakes begin at a bounded rate, and
// those of another one at once.
func TestHandshakesAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seconds, perSecond = 3, 2000
		b := newLobby(defaultHandshakeRate)
		bad, good := net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 2)
		var guests sync.WaitGroup
		var begun atomic.Int64
		for i := range seconds * perSecond {
			guests.Go(func() {
				if begins, _ := shake(b, bad, time.Hour); begins {
					begun.Add(1)
				}
			})
			if i%100 == 99 {
				start := time.Now()
				if _, done := shake(b, good, 0); !done || time.Since(start) > 0 {
					t.Fatalf("a quiet source's handshake in the flood: done is %t after %v, want it done at once", done, time.Since(start))
				}
			}
			time.Sleep(time.Second / perSecond)
		}
		b.close()
		guests.Wait()
		const want = handshakeBurst + seconds*defaultHandshakeRate
		if n := begun.Load(); n < want-10 || n > want+1 {
			t.Errorf("%d handshakes of one source began in %d s, want about %d", n, seconds, want)
		}
		if len(b.sources) != 0 || b.guests != 0 || b.oldest.len != 0 {
			t.Errorf("in the end %d sources and %d guests are left, want none", len(b.sources), b.guests)
		}
	})
}

// Two thousand honest clients behind one address, whose server has just come
// back, are all in within a minute, with a filter for such as come too often and without.
func TestHandshakeStormOfOneSource(t *testing.T) {
	for name, filters := range map[string]bool{"filter": true, "no filter": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStorm(t, filters) })
		})
	}
}

func testStorm(t *testing.T, filters bool) {
	const clients = 2000
	const again = time.Second // after that a first packet is sent again
	var barred atomic.Bool
	set := func(program []bpf.RawInstruction) error {
		barred.Store(filters && len(program) > 0)
		return nil
	}
	l := &listener{t: &Transport{log: newGate(slog.New(slog.DiscardHandler), "test")}, bar: bar.TCP(set)}
	start := func(g *guest) { g.raw.(*caller).begun <- g }
	l.waiting.init(defaultHandshakes, defaultPerSource, ration.NewSpacing(defaultHandshakeRate, handshakeBurst), start)
	accepting := make(chan struct{}, 1)
	dial := func() bool {
		for barred.Load() {
			time.Sleep(again)
		}
		_, done := shakeIn(&l.waiting, net.IPv4(10, 0, 0, 1), 50*time.Millisecond, func(c *caller) bool {
			accepting <- struct{}{}
			defer func() { <-accepting }()
			return l.receive(c)
		})
		return done
	}
	var loops sync.WaitGroup
	took := make([]time.Duration, clients)
	for i := range took {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		loops.Go(func() {
			start := time.Now()
			for backoff := 200 * time.Millisecond; ; backoff = min(2*backoff, 30*time.Second) {
				time.Sleep(time.Duration(rng.Int64N(int64(backoff))))
				if dial() {
					took[i] = time.Since(start)
					return
				}
			}
		})
	}
	loops.Wait()
	l.waiting.close()
	l.bar.Stop()
	last := slices.Max(took)
	slices.Sort(took)
	t.Logf("half of %d clients are back after %v, all after %v", clients, took[clients/2], last)
	if last > time.Minute {
		t.Errorf("the last of %d clients is back after %v, want a minute at the most", clients, last)
	}
}

// A source whose connections have to go for others of its own before their turn has come is
// barred once that is too often.
func TestFloodIsBarred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		filters := 0
		set := func([]bpf.RawInstruction) error {
			filters++
			return nil
		}
		l := &listener{t: &Transport{log: newGate(slog.New(slog.DiscardHandler), "test")}, bar: bar.TCP(set)}
		l.waiting.init(2*defaultPerSource, defaultPerSource, ration.NewSpacing(1, 1), func(*guest) {})
		bad, good := net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 2)
		const tooMany = 256
		for i := range defaultPerSource + tooMany - 1 {
			l.receive(from(bad))
			if i%32 == 0 {
				l.receive(from(good))
			}
		}
		if filters != 0 {
			t.Errorf("%d filters set by %d connections that had to go, want none", filters, tooMany-1)
		}
		l.receive(from(bad))
		if filters != 1 {
			t.Errorf("%d filters set by %d connections that had to go, want 1", filters, tooMany)
		}
		l.waiting.close()
		l.bar.Stop()
	})
}

// Without a rate, and for sources that cannot be told apart, nobody waits.
func TestHandshakesWithoutRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLobby(-1)
		defer b.close()
		for range defaultPerSource {
			if _, done := shake(b, net.IPv4(10, 0, 0, 1), 0); !done {
				t.Fatal("a handshake was not done")
			}
		}
		c := from(nil)
		c.from = &net.UnixAddr{Name: "here"}
		newLobby(1).enter(c)
		<-c.begun
	})
}

// Who has to go for another one of its source before its turn has come is told of, and
// never started.
func TestUnheardGuestGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLobby(1)
		defer b.close()
		ip := net.IPv4(10, 0, 0, 1)
		for range handshakeBurst { // spends the budget, and the places
			b.enter(from(ip))
		}
		c := from(ip)
		if gone, ok := b.enter(c); gone != nil || !ok {
			t.Fatalf("enter() = %v, %t, want nil, true: who has begun is told of elsewhere", gone, ok)
		}
		if gone, _ := b.enter(from(ip)); gone == nil || gone.raw != c {
			t.Errorf("enter() = %v, want the one that waits", gone)
		}
		<-c.gone
		if len(c.begun) != 0 {
			t.Error("it was started all the same")
		}
	})
}
