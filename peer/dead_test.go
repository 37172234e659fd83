package peer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// What one end knows, the other learns with the next connection: when the calls of the side that noticed
// a dead connection work again, so do at once those of the side that noticed nothing.
func TestOneSideNotices(t *testing.T) {
	for seed := range seedsOf() {
		if err := oneSideNotices(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func oneSideNotices(t *testing.T, seed uint64) (err error) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 3))
		lan := peertest.New(t, peertest.Config{Seed: seed, Link: memory.Link{Latency: ms(rng, 20), Jitter: ms(rng, 20)}, Schemes: []string{"quic", "tcp"}})
		nodes := []*peertest.Node{lan.Join("a", simConfig()), lan.Join("b", simConfig())}
		lan.WaitUp(nodes...)
		for round := range 3 {
			time.Sleep(ms(rng, 3000))
			i := rng.IntN(2)
			if rng.IntN(2) == 0 {
				lan.Sever(nodes[i])
			} else {
				lan.Crash(nodes[i])
				time.Sleep(ms(rng, 200))
				nodes[i] = lan.Restart(nodes[i])
			}
			if err = noticed(t, nodes[0], nodes[1]); err != nil {
				err = fmt.Errorf("round %d: %w", round, err)
				return
			}
			nodes[0], nodes[1] = nodes[1], nodes[0]
		}
	})
	return err
}

// noticed calls from a to b until that works, and then once from b to a.
func noticed(t *testing.T, a, b *peertest.Node) error {
	var err error
	for range 20 {
		if err = callIn(t, a, b, 2*time.Second); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("no call works any more: %w", err)
	}
	if err := callIn(t, b, a, time.Second); err != nil {
		return fmt.Errorf("the other side's call: %w", err)
	}
	return nil
}

func callIn(t *testing.T, from, to *peertest.Node, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := simUnary.Call(ctx, from.Peer(to.ID()), nil, kith.WaitForReady())
	return err
}

func simConfig() peer.Config {
	var h kith.Handlers
	simUnary.Handle(&h, func(_ context.Context, key []byte) ([]byte, error) { return key, nil })
	return peer.Config{Handlers: &h, Admit: admit.Anyone()}
}

// A connection that is the better one by its number, but dead since, does not cost the pair the other one, which
// comes a moment later.
func TestDeadWinner(t *testing.T) {
	for seed := range seedsOf() {
		if err := deadWinner(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func deadWinner(t *testing.T, seed uint64) (err error) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 4))
		lan := peertest.New(t, peertest.Config{
			Seed: seed, Schemes: []string{"quic", "tcp"}, Link: memory.Link{Latency: 50 * time.Millisecond},
		})
		a, b := lan.Join("a", simConfig()), lan.Join("b", simConfig())
		lan.Block(b, a)
		// Found at 50 ms. QUIC connects 100 ms later and is admitted after 200; TCP connects after 170.
		lan.SetLink(a, b, memory.Link{Latency: 10 * time.Millisecond}, "tcp")
		call := make(chan error, 1)
		go func() { call <- callIn(t, a, b, time.Minute) }()
		time.Sleep(222 * time.Millisecond)
		net := lan.Network()
		net.Stall(a.Host("tcp"), b.Host("tcp"))
		err = <-call
		if st := a.Stats(); err != nil || st.Conns != 1 {
			err = fmt.Errorf("at first: %w, %+v", err, st)
			return
		}
		net.Partition(a.Host("quic"), b.Host("quic"))
		time.Sleep(ms(rng, 100))
		net.Unstall(a.Host("tcp"), b.Host("tcp"))
		time.Sleep(4 * time.Second)
		if st := a.Stats(); st.Conns != 1 || st.Dials != 2 {
			err = fmt.Errorf("Stats() = %+v, want the second connection only", st)
			return
		}
		if err = callIn(t, a, b, time.Second); err == nil {
			err = noticed(t, b, a) // who did not dial learns of it by a call
		}
	})
	return err
}

// A connection of which only the acceptor knows, as its welcome never came, does not cost the pair the
// other one.
func TestLostWelcome(t *testing.T) {
	for seed := range seedsOf() {
		if err := lostWelcome(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func lostWelcome(t *testing.T, seed uint64) (err error) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 5))
		lan := peertest.New(t, peertest.Config{
			Seed: seed, Schemes: []string{"quic", "tcp"}, Link: memory.Link{Latency: 50 * time.Millisecond},
		})
		a, b := lan.Join("a", simConfig()), lan.Join("b", simConfig())
		lan.Block(b, a)
		lan.SetLink(a, b, memory.Link{Latency: 10 * time.Millisecond}, "tcp")
		// Found at 50 ms. QUIC connects 100 ms later, its hello arrives 50 ms after that.
		call := make(chan error, 1)
		go func() { call <- callIn(t, a, b, time.Minute) }()
		time.Sleep(155*time.Millisecond + ms(rng, 80))
		lan.Network().Stall(b.Host("quic"), a.Host("quic"))
		err = <-call
		for i := 0; i < 20 && err == nil; i++ {
			time.Sleep(ms(rng, 500))
			err = callIn(t, a, b, 300*time.Millisecond)
		}
		if st := a.Stats(); err == nil && (st.Conns != 1 || st.Drained > 0 || st.Dials != 2) {
			err = fmt.Errorf("Stats() = %+v, want the second connection only", st)
		}
	})
	return err
}
