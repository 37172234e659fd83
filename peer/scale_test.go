package peer_test

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// A cold start of many nodes: all have found all within 10 s, none holds more connections than its mesh allows, and
// the bus is quiet afterwards. With KITH_LONG=1 they are 500.
func TestColdStart(t *testing.T) {
	sizes, meshes := []int{60}, []int{8}
	switch {
	case peer.Race:
		sizes = []int{25}
	case os.Getenv("KITH_LONG") != "":
		sizes, meshes = []int{60, 500, 500}, []int{64, 8, 64}
	}
	for i, size := range sizes {
		t.Run(fmt.Sprintf("%d nodes, mesh %d", size, meshes[i]), func(t *testing.T) {
			begin := time.Now()
			synctest.Test(t, func(t *testing.T) { coldStart(t, size, meshes[i]) })
			t.Logf("took %v of real time", time.Since(begin).Round(10*time.Millisecond))
		})
	}
}

func coldStart(t *testing.T, size, mesh int) {
	begin := time.Now()
	lan := peertest.New(t, peertest.Config{Link: memory.Link{Latency: 2 * time.Millisecond}})
	var nodes []*peertest.Node
	for i := range size {
		var h kith.Handlers
		nodes = append(nodes, lan.Join(fmt.Sprint("n", i), peer.Config{Handlers: &h, Admit: admit.Anyone(), Mesh: mesh}))
	}
	lan.WaitFound(nodes...)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("all have found all after %v, want at most 10s", took)
	} else {
		t.Logf("all have found all after %v; %+v", took.Round(time.Millisecond), lan.Stats())
	}
	time.Sleep(time.Minute)
	conns := 0
	for _, n := range nodes {
		st := n.Stats()
		if st.Known != size-1 || st.Conns > mesh || st.Conns == 0 {
			t.Errorf("%s: Stats() = %+v, want all others known, 1 to %d connections", n.Name(), st, mesh)
		}
		conns += st.Conns
	}
	t.Logf("a minute later: %.1f connections per node, %+v", float64(conns)/float64(size), lan.Stats())
	quiet(t, lan, size)
}

// quiet measures what the bus carries when nothing happens.
func quiet(t *testing.T, lan *peertest.LAN, size int) {
	const minutes = 5
	was := lan.Stats()
	time.Sleep(minutes * time.Minute)
	is := lan.Stats()
	per := func(n uint64) float64 { return float64(n) / minutes / float64(size) }
	records, questions, bytes := per(is.Records-was.Records), per(is.Questions-was.Questions), per(is.Bytes-was.Bytes)
	t.Logf("per node and minute: %.1f records, %.2f questions, %.0f bytes", records, questions, bytes)
	if records > 8 || questions > 1 {
		t.Errorf("per node and minute: %.1f records, %.2f questions, want at most 8 and 1", records, questions)
	}
}
