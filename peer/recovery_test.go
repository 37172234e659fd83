package peer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/memory"
)

// A promise is how long something may take at the longest, in virtual time, on a LAN with up to 5 ms of
// latency and some loss.
type promise struct {
	name  string
	limit time.Duration
	// measure returns how long it took.
	measure func(l *lan, rng *rand.Rand) time.Duration
}

var promises = []promise{
	{"join to first call", 500 * time.Millisecond, joinToCall},
	{"leave seen by all", time.Second, leaveSeen},
	{"crash, idle: down", 16 * time.Second, crashIdle},
	{"crash, call failed: down", 2 * time.Second, crashCalled},
	{"killed process: down", time.Second, killed},
	{"restart with the same key: up", time.Second, restarted},
	{"restart before the crash was noticed: up", 2 * time.Second, quicklyRestarted},
	{"changed address: calls work both ways", 3 * time.Second, moved},
	{"partition healed: up at both ends", 31 * time.Second, healed},
	{"awake: up at both ends", 31 * time.Second, awake},
}

func TestPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			var took []time.Duration
			for seed := range seedsOf() / 2 {
				synctest.Test(t, func(t *testing.T) {
					rng := rand.New(rand.NewPCG(seed, 6))
					link := memory.Link{Latency: ms(rng, 5), Jitter: ms(rng, 3), Loss: 0.01}
					l := &lan{peertest.New(t, peertest.Config{Seed: seed, Link: link}), t}
					took = append(took, p.measure(l, rng))
				})
				if d := took[seed]; d > p.limit {
					t.Errorf("seed %d: took %v, want at most %v", seed, d, p.limit)
				}
			}
			slices.Sort(took)
			t.Logf("%d seeds: median %v, longest %v", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
		})
	}
}

// works makes calls of at most 500 ms each until one succeeds.
func works(t *testing.T, from, to *peertest.Node) {
	t.Helper()
	var err error
	for range 120 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err = who.Call(ctx, from.Peer(to.ID()), struct{}{}, kith.WaitForReady())
		cancel()
		if err == nil {
			return
		}
	}
	t.Errorf("Call from %s to %s a minute later = %v", from.Name(), to.Name(), err)
}

func joinToCall(l *lan, rng *rand.Rand) time.Duration {
	a := l.node("a", nil)
	if rng.IntN(2) == 0 {
		time.Sleep(ms(rng, 3000))
	}
	begin := time.Now()
	b := l.node("b", nil)
	for _, c := range [][2]*peertest.Node{{b, a}, {a, b}} {
		if _, err := who.Call(l.t.Context(), c[0].Peer(c[1].ID()), struct{}{}); err != nil {
			l.t.Errorf("Call from %s = %v", c[0].Name(), err)
		}
	}
	return time.Since(begin)
}

func leaveSeen(l *lan, rng *rand.Rand) time.Duration {
	var nodes []*peertest.Node
	for i := range 5 {
		nodes = append(nodes, l.node(fmt.Sprint("n", i), nil))
	}
	l.WaitUp(nodes...)
	time.Sleep(ms(rng, 10_000))
	begin := time.Now()
	if err := nodes[0].Leave(l.t.Context()); err != nil {
		l.t.Errorf("Leave = %v", err)
	}
	for _, n := range nodes[1:] {
		l.WaitGone(n, nodes[0])
	}
	return time.Since(begin)
}

// two makes two nodes that have been connected for a while.
func (l *lan) two(rng *rand.Rand) (a, b *peertest.Node) {
	l.t.Helper()
	a, b = l.node("a", nil), l.node("b", nil)
	l.WaitUp(a, b)
	time.Sleep(ms(rng, 20_000))
	return a, b
}

func crashIdle(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	begin := time.Now()
	l.Crash(b)
	l.WaitDown(a, b)
	return time.Since(begin)
}

func crashCalled(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	l.Crash(b)
	ctx, cancel := context.WithTimeout(l.t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := echo.Call(ctx, a.Peer(b.ID()), "x"); !errors.Is(err, context.DeadlineExceeded) {
		l.t.Errorf("Call of a crashed peer = %v, want %v", err, context.DeadlineExceeded)
	}
	begin := time.Now()
	l.WaitGone(a, b)
	return time.Since(begin)
}

func killed(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	begin := time.Now()
	l.Kill(b)
	l.WaitDown(a, b)
	return time.Since(begin)
}

func restarted(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	l.Crash(b)
	l.WaitGone(a, b)
	time.Sleep(ms(rng, 60_000))
	return upAgain(l, a, b)
}

func quicklyRestarted(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	l.Crash(b)
	time.Sleep(ms(rng, 2000))
	return upAgain(l, a, b)
}

// upAgain restarts b.
func upAgain(l *lan, a, b *peertest.Node) time.Duration {
	begin := time.Now()
	b = l.Restart(b)
	l.WaitUp(b, a)
	l.WaitUp(a, b)
	if got, err := who.Call(l.t.Context(), a.Peer(b.ID()), struct{}{}); err != nil || got != "b" {
		l.t.Errorf("Call after the restart = %q, %v", got, err)
	}
	took := time.Since(begin)
	time.Sleep(time.Second)
	if st := a.Stats(); st.Conns != 1 {
		l.t.Errorf("Stats() = %+v, want one connection", st)
	}
	return took
}

func moved(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	begin := time.Now()
	l.Move(b)
	works(l.t, a, b)
	works(l.t, b, a)
	return time.Since(begin)
}

func healed(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	c := l.node("c", nil)
	l.WaitUp(a, b, c)
	l.Partition(b)
	time.Sleep([]time.Duration{1, 5, 20, 40, 120}[rng.IntN(5)] * time.Second)
	l.Heal()
	return allWell(l, a, b, c)
}

func awake(l *lan, rng *rand.Rand) time.Duration {
	a, b := l.two(rng)
	l.Sleep(b)
	time.Sleep(ms(rng, 600_000))
	l.Wake(b)
	return allWell(l, a, b)
}

// allWell waits until all nodes are connected.
func allWell(l *lan, nodes ...*peertest.Node) time.Duration {
	begin := time.Now()
	l.WaitUp(nodes...)
	took := time.Since(begin)
	time.Sleep(20 * time.Second) // until silence has shown what is not
	l.WaitUp(nodes...)
	for _, n := range nodes {
		if st := n.Stats(); st.Conns != len(nodes)-1 {
			l.t.Errorf("%s: Stats() = %+v, want %d connections", n.Name(), st, len(nodes)-1)
		}
	}
	return took
}
