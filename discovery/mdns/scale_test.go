package mdns

import (
	"os"
	"testing"
	"time"
)

// crowd starts size nodes at once, of which every step-th browses.
func crowd(t *testing.T, n *lan, size, step int) (ws []*watch) {
	for i := range size {
		h := n.node()
		advertise(t, h.d, newIdentity())
		if i%step == 0 {
			ws = append(ws, browse(t, h.d))
		}
	}
	return ws
}

// Five hundred nodes that start at once, as after a power cut, know each other within ten seconds, and are quiet
// afterwards. To have all of them browse takes some minutes of processor time for signatures: set
// KITH_MDNS_SCALE to have that.
func TestColdStart(t *testing.T) {
	size, step := 500, 25
	if raceEnabled {
		size, step = 50, 25
	}
	if os.Getenv("KITH_MDNS_SCALE") != "" {
		size, step = 500, 1
	}
	virtually(t, func(t *testing.T, n *lan) {
		ws := crowd(t, n, size, step)
		within(t, "all have found all", took(func() {
			for _, w := range ws {
				w.until(time.Minute, "all", func() bool { return len(w.known) == size })
			}
		}), 10*time.Second)
		packets, bytes, _, _ := n.sent()
		t.Logf("cold start of %d nodes: %d packets, %d bytes sent, %d lost for lack of room", size, packets, bytes, n.dropped)
		time.Sleep(time.Minute)
		steady(t, n, ws, size, 3*time.Minute, 7)
	})
}

func TestSteadyTraffic(t *testing.T) {
	for _, c := range []struct {
		size int
		most float64 // answers per peer and minute
	}{{2, 7}, {10, 7}, {50, 7}, {100, 7}} {
		if raceEnabled && c.size > 10 {
			continue
		}
		virtually(t, func(t *testing.T, n *lan) {
			ws := crowd(t, n, c.size, max(1, c.size/2))
			time.Sleep(2 * time.Minute)
			steady(t, n, ws, c.size, 15*time.Minute, c.most)
		})
	}
}

// steady counts what is sent in the time d, and that nobody is lost.
func steady(t *testing.T, n *lan, ws []*watch, size int, d time.Duration, most float64) {
	t.Helper()
	n.sent()
	time.Sleep(d)
	packets, bytes, answers, asked := n.sent()
	per := func(x int) float64 { return float64(x) / float64(size) / d.Minutes() }
	t.Logf("%d nodes, per peer and minute: %.2f answers, %.3f questions, %.0f bytes; the network: %.1f packets/s, %.0f bytes/s",
		size, per(answers), per(asked), per(bytes), float64(packets)/d.Seconds(), float64(bytes)/d.Seconds())
	if got := per(answers); got > most {
		t.Errorf("%.2f answers per peer and minute, want %v at most", got, most)
	}
	for _, w := range ws {
		w.drain(time.Millisecond)
		if len(w.known) != size {
			t.Errorf("a node knows %d nodes after %v, want %d", len(w.known), d, size)
		}
	}
}
