package peertest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/discoverytest"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/memory"
)

// The bus keeps the rules of a Discovery, late and heard twice as its packets may be.
func TestBus(t *testing.T) {
	cfg := peertest.Config{Seed: 1, Link: memory.Link{Latency: 3 * time.Millisecond, Jitter: 5 * time.Millisecond}, Duplicate: 0.3}
	discoverytest.Run(t, func(t testing.TB) discoverytest.Setup {
		lan := peertest.New(t, cfg)
		made := 0
		return discoverytest.Setup{
			New: func() discovery.Discovery {
				made++
				return lan.Discovery(fmt.Sprint("station", made))
			},
			Inject:   func(raw []byte) error { lan.Inject(raw); return nil },
			Crash:    peertest.Silence,
			InMemory: true,
		}
	})
}
