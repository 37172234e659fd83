package memory_test

import (
	"testing"
	"time"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/transporttest"
)

func TestTransport(t *testing.T) { runSuite(t, memory.Link{}) }

// TestTransportOverLink has everything go through the simulated link.
func TestTransportOverLink(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	runSuite(t, memory.Link{
		Latency: time.Microsecond, Jitter: 5 * time.Microsecond,
		Bandwidth: 4 << 30, Loss: 0.01, Retransmit: 20 * time.Microsecond,
	})
}

func runSuite(t *testing.T, link memory.Link) {
	transporttest.Run(t, func(t *testing.T) transporttest.Setup {
		n := memory.NewNetwork(memory.NetworkConfig{Link: link, Seed: 1})
		t.Cleanup(func() { n.Close() })
		a, b := n.Transport(memory.Config{Host: "a"}), n.Transport(memory.Config{Host: "b"})
		c := n.Transport(memory.Config{Host: "c"})
		silent, err := c.Listen(t.Context(), transport.Addr{})
		if err != nil {
			t.Fatalf("Listen() = %v, want nil", err)
		}
		n.Partition("a", "c")
		return transporttest.Setup{
			Dialer: a, Listener: b, DialerID: a.ID(),
			DialsWithoutID: true,
			InMemory:       true,
			Silent:         silent.Addr(),
			Cut:            func() { n.Reset("a", "b") },
		}
	})
}
