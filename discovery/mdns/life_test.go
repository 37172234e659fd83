package mdns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/discovery"
)

// virtually runs f on a virtual LAN in virtual time.
func virtually(t *testing.T, f func(t *testing.T, n *lan)) {
	synctest.Test(t, func(t *testing.T) {
		n := newLAN(t, 1)
		defer n.closeAll()
		f(t, n)
	})
}

// took returns how long f took.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func within(t *testing.T, what string, got, limit time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, got)
	if got > limit {
		t.Errorf("%s took %v, want at most %v", what, got, limit)
	}
}

func TestJoinUpdateLeave(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		a, b, id := n.node(), n.node(), newIdentity()
		w := browse(t, b.d)
		w.drain(time.Minute)
		var adv discovery.Advertiser
		within(t, "join", took(func() {
			adv = advertise(t, a.d, id)
			w.until(time.Second, "join", w.knows(id))
		}), 100*time.Millisecond)
		time.Sleep(time.Minute)
		within(t, "update", took(func() {
			if err := adv.Update(id.sign(t)); err != nil {
				t.Fatal(err)
			}
			w.until(time.Second, "update", w.knows(id))
		}), 10*time.Millisecond)
		time.Sleep(time.Minute) // nobody answers twice in a second
		c := browse(t, n.node().d)
		within(t, "newcomer knows it", took(func() { c.until(time.Second, "newcomer", c.knows(id)) }), 250*time.Millisecond)
		within(t, "leave", took(func() {
			if err := adv.Close(id.goodbye(t)); err != nil {
				t.Fatal(err)
			}
			w.until(time.Second, "leave", w.lost(id))
			c.until(time.Second, "leave", c.lost(id))
		}), 10*time.Millisecond)
		if ev := w.drain(time.Hour); len(ev) != 0 {
			t.Errorf("after the goodbye: %v, want no event", ev)
		}
		if w.known != nil && !slices.Equal(kinds(w.log), []discovery.Kind{discovery.Found, discovery.Changed, discovery.Lost}) {
			t.Errorf("events = %v, want Found, Changed, Lost", kinds(w.log))
		}
	})
}

func kinds(evs []discovery.Event) (k []discovery.Kind) {
	for _, e := range evs {
		k = append(k, e.Kind)
	}
	return k
}

func TestCrashIsNoticedByDoubt(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		a, b, id := n.node(), n.node(), newIdentity()
		advertise(t, a.d, id)
		w := browse(t, b.d)
		w.until(time.Second, "join", w.knows(id))
		w.Suspect(id.ID())
		if ev := w.drain(5 * time.Second); len(ev) != 0 {
			t.Errorf("after Suspect of a live node: %v, want no event", ev)
		}
		a.crash()
		w.Suspect(id.ID())
		within(t, "crash and Suspect until Lost", took(func() { w.until(time.Minute, "loss", w.lost(id)) }), 900*time.Millisecond)
	})
}

func TestCrashIsNoticedBySilence(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		w := browse(t, n.node().d)
		var ids []*identity
		var hosts []*vhost
		for range 3 {
			h, id := n.node(), newIdentity()
			advertise(t, h.d, id)
			w.until(time.Second, "join", w.knows(id))
			ids, hosts = append(ids, id), append(hosts, h)
		}
		time.Sleep(10 * time.Minute)
		hosts[0].crash()
		within(t, "crash until Lost, others answer", took(func() { w.until(time.Hour, "loss", w.lost(ids[0])) }), 45*time.Second)
		hosts[1].crash()
		hosts[2].crash()
		within(t, "crash until Lost, nobody answers", took(func() { w.until(time.Hour, "loss", w.lost(ids[1])) }), 150*time.Second)
	})
}

func TestBeingCutOffIsNotLossOfAll(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		h := n.node()
		w := browse(t, h.d)
		ids := make([]*identity, 10)
		for i := range ids {
			ids[i] = newIdentity()
			advertise(t, n.node().d, ids[i])
			w.until(time.Second, "join", w.knows(ids[i]))
		}
		time.Sleep(time.Minute)
		n.mu.Lock()
		n.cut = func(from, to *vhost) bool { return from != to && (from == h || to == h) }
		n.mu.Unlock()
		if ev := w.drain(time.Minute); len(ev) != 0 {
			t.Errorf("cut off for a minute: %v, want no event", kinds(ev))
		}
		n.mu.Lock()
		n.cut = nil
		n.mu.Unlock()
		if ev := w.drain(10 * time.Minute); len(ev) != 0 {
			t.Errorf("after being cut off: %v, want no event", kinds(ev))
		}
	})
}

func TestPartitionHeals(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		side := make(map[*vhost]int)
		var ws []*watch
		for i := range 8 {
			h := n.node()
			side[h] = i % 2
			advertise(t, h.d, newIdentity())
			ws = append(ws, browse(t, h.d))
		}
		all := func(w *watch, count int) func() bool { return func() bool { return len(w.known) == count } }
		for _, w := range ws {
			w.until(5*time.Second, "start", all(w, 8))
		}
		n.mu.Lock()
		n.cut = func(from, to *vhost) bool { return side[from] != side[to] }
		n.mu.Unlock()
		for _, w := range ws {
			w.until(time.Minute, "partition", all(w, 4))
		}
		n.mu.Lock()
		n.cut = nil
		n.mu.Unlock()
		within(t, "partition heals", took(func() {
			for _, w := range ws {
				w.until(time.Minute, "heal", all(w, 8))
			}
		}), 16*time.Second)
	})
}

func TestLossyNetwork(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		const minutes = 20
		n.loss = 0.2
		var ws []*watch
		for range 20 {
			h := n.node()
			advertise(t, h.d, newIdentity())
			ws = append(ws, browse(t, h.d))
		}
		for _, w := range ws {
			w.until(30*time.Second, "all at 20 % loss", func() bool { return len(w.known) == 20 })
		}
		losses := 0
		for range minutes {
			time.Sleep(time.Minute)
			for _, w := range ws {
				for _, ev := range w.drain(time.Millisecond) {
					if ev.Kind == discovery.Lost {
						losses++
					}
				}
			}
		}
		t.Logf("live nodes lost in %d minutes, 20 nodes, 20 %% loss: %d of %d views", minutes, losses, 20*19)
		if losses > 20*19/4 {
			t.Errorf("%d of %d live peers were lost for a while in 20 minutes at 20 %% loss, want a quarter at most", losses, 20*19)
		}
	})
}

func TestInterfaceChange(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		a, b, id := n.node(), n.node(), newIdentity()
		adv := advertise(t, a.d, id)
		w := browse(t, b.d)
		w.until(time.Second, "join", w.knows(id))
		b.host.setLinks(nil)
		w.Suspect(id.ID()) // there is nobody to be asked
		if ev := w.drain(30 * time.Second); len(ev) != 0 {
			t.Errorf("without interfaces: %v, want no event", ev)
		}
		if err := adv.Update(id.sign(t)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		within(t, "interface back until the update is known", took(func() {
			b.host.setLinks([]linkInfo{b.info})
			w.until(time.Second, "update", w.knows(id))
		}), 250*time.Millisecond)
	})
}

func TestOwnNodesAreReported(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		h, one, two := n.node(), newIdentity(), newIdentity()
		a := advertise(t, h.d, one)
		w := browse(t, h.d)
		advertise(t, h.d, two)
		w.until(time.Second, "both", func() bool { return len(w.known) == 2 })
		if _, err := h.d.Advertise(t.Context(), one.sign(t)); err == nil {
			t.Errorf("Advertise(an ID for the second time) = nil, want an error")
		}
		if ev := w.drain(time.Hour); len(ev) != 0 {
			t.Errorf("events in an hour: %v, want none", ev)
		}
		if err := a.Close(discovery.Signed{}); err != nil {
			t.Errorf("Close(no goodbye) = %v", err)
		}
		w.until(time.Second, "withdrawal", w.lost(one))
	})
}

// Questions that are answered to the asker alone, or heard by us alone, do not keep us from asking.
func TestOthersQuestionsDoNotSilenceUs(t *testing.T) {
	for _, unicast := range []bool{true, false} {
		virtually(t, func(t *testing.T, n *lan) {
			h, id := n.node(), newIdentity()
			advertise(t, n.node().d, id)
			w := browse(t, h.d)
			w.until(time.Second, "join", w.knows(id))
			var m message
			for range 600 {
				h.d.receive(&m, ask(label{}, unicast), attacker) // nobody else hears it
				if ev := w.drain(time.Second); len(ev) != 0 {
					t.Fatalf("with questions that we alone hear: %v, want no event", kinds(ev))
				}
			}
		})
	}
}

// An engine does the same whenever it is told the same: a failure that depends on a seed can be had again.
func TestEngineIsDeterministic(t *testing.T) {
	key := newIdentity()
	record := key.sign(t)
	var others [][]byte
	for range 20 {
		others = append(others, saying(newIdentity().sign(t).Append(nil), ttlAnswer))
	}
	trace := func() (lines []string) {
		start := time.Now()
		e := newEngine(discovery.TableConfig{}, rand.New(rand.NewPCG(7, 7)))
		e.setLinks(start, []linkInfo{
			{linkKey: linkKey{1, false}, addr: netip.MustParseAddr("10.1.0.1"), prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
			{linkKey: linkKey{1, true}, addr: netip.MustParseAddr("fe80::1")},
		})
		if err := e.advertise(start, record); err != nil {
			t.Fatal(err)
		}
		e.browse(start, testNetwork, nil)
		defer e.close()
		var m message
		for i, now := 0, start; i < 500; i++ {
			if next := e.next(); next.After(now) {
				now = next
			}
			for _, o := range e.tick(now) {
				lines = append(lines, fmt.Sprint(now.Sub(start), o.link, len(o.data), o.probe.Short()))
			}
			if err := m.parse(others[i%len(others)]); err != nil {
				t.Fatal(err)
			}
			e.receive(now, &m, inbound{from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(i % 20)}), mdnsPort), index: 1, ttl: 255})
		}
		return lines
	}
	one, two := trace(), trace()
	if !slices.Equal(one, two) || len(one) < 20 {
		t.Errorf("two runs with one seed sent %d and %d packets, want the same", len(one), len(two))
	}
}
