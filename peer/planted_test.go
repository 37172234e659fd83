package peer_test

import (
	"testing"

	"github.com/kith-go/kith/peer"
)

// The rule loses no call by itself: none is refused since the connection that it was made on is drained, and
// has to be made again on another.
func TestChoiceRefusesNothing(t *testing.T) {
	defer peer.StaysOnDrained.Set()()
	for seed := range seedsOf() / 3 {
		for _, sc := range scenarios {
			if sc.faults {
				continue
			}
			if s := simulate(t, sc, seed); len(s.findings) > 0 {
				t.Fatalf("%s seed %d: %q", sc.name, seed, s.findings)
			}
		}
	}
}

// The simulations find what is wrong: each of these within 200 seeds.
func TestSimulationFinds(t *testing.T) {
	run := func(name string) func(t *testing.T, seed uint64) []string {
		for _, sc := range scenarios {
			if sc.name == name {
				return func(t *testing.T, seed uint64) []string { return simulate(t, sc, seed).findings }
			}
		}
		t.Fatalf("no scenario %s", name)
		return nil
	}
	one := func(f func(*testing.T, uint64) error) func(*testing.T, uint64) []string {
		return func(t *testing.T, seed uint64) []string {
			if err := f(t, seed); err != nil {
				return []string{err.Error()}
			}
			return nil
		}
	}
	racing := run("Racing")
	for name, c := range map[string]struct {
		wrong interface{ Set() func() }
		by    func(*testing.T, uint64) []string
	}{
		"loser killed":                   {peer.KillsLosers, racing},
		"larger ID wins at one end":      {peer.LargerWins, racing},
		"acceptor drains":                {peer.AcceptorDrains | peer.TrustsWinner, one(lostWelcome)},
		"losing attempt given up":        {peer.AbandonsAttempts, racing},
		"unlisted kept":                  {peer.KeepsUnlisted, one(oneSideNotices)},
		"old instance kept":              {peer.KeepsInstances, one(oneSideNotices)},
		"drained for a winner not asked": {peer.TrustsWinner, one(deadWinner)},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.wrong.Set()()
			for seed := range uint64(200) {
				if found := c.by(t, seed); len(found) > 0 {
					t.Logf("found with seed %d: %s", seed, found[0])
					return
				}
			}
			t.Error("not found")
		})
	}
}
