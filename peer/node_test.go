package peer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestNewNeeds(t *testing.T) {
	var taken kith.Handlers
	kith.Unary[string, string]("kith.peer/Mine").Handle(&taken, func(context.Context, string) (string, error) { return "", nil })
	for name, cfg := range map[string]peer.Config{
		"no policy":            {},
		"two keys":             {Admit: admit.Anyone(), Key: kith.NewKey(), KeyFile: "x"},
		"a name with controls": {Admit: admit.Anyone(), Name: "a\x1b[2J"},
		"a long name":          {Admit: admit.Anyone(), Name: fmt.Sprintf("%065d", 1)},
		"own method":           {Admit: admit.Anyone(), Handlers: &taken},
		"transport, no key":    {Admit: admit.Anyone(), Transport: memory.New(memory.Config{})},
		"negative backoff":     {Admit: admit.Anyone(), BackoffBase: -1},
	} {
		if n, err := peer.New(cfg); err == nil {
			t.Errorf("New with %s succeeded", name)
			_ = n.Close()
		}
		if cfg.Transport != nil {
			_ = cfg.Transport.Close()
		}
	}
}

func TestNotJoined(t *testing.T) {
	n, err := peer.New(peer.Config{Admit: admit.Anyone()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := echo.Call(t.Context(), n.Peer(kith.NewKey().ID()), ""); kith.CodeOf(err) != kith.FailedPrecondition {
		t.Errorf("Call before Join = %v, want %v", err, kith.FailedPrecondition)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := n.Join(t.Context()); !errors.Is(err, peer.ErrClosed) {
		t.Errorf("Join after Close = %v, want %v", err, peer.ErrClosed)
	}
}

func TestFindAndCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: 5 * time.Millisecond})
		a, b := l.node("a", nil), l.node("b", nil)
		begin := time.Now()
		if got, err := echo.Call(t.Context(), a.Peer(b.ID()), "x"); err != nil || got != "b:x" {
			t.Errorf("Call from a = %q, %v", got, err)
		}
		if got, err := echo.Call(t.Context(), b.Peer(a.ID()), "y"); err != nil || got != "a:y" {
			t.Errorf("Call from b = %q, %v", got, err)
		}
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("first calls after %v, want at most 500ms", took)
		}
		await(t, a, b.ID(), peer.Up)
		await(t, b, a.ID(), peer.Up)
		time.Sleep(time.Second)
		for _, n := range []*peertest.Node{a, b} {
			if st := n.Stats(); st.Conns != 1 || st.Up != 1 || st.Known != 1 {
				t.Errorf("Stats() = %+v, want one peer on one connection", st)
			}
		}
		if got, err := who.Call(t.Context(), a.Any(), struct{}{}); err != nil || got != "b" {
			t.Errorf("Call at any = %q, %v", got, err)
		}
		info := a.Peer(b.ID()).Info()
		if info.Name != "b" || !info.Up || fmt.Sprint(info.Methods) != "[test/Echo test/Wait test/Who]" {
			t.Errorf("Info() = %+v", info)
		}
	})
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: 5 * time.Millisecond})
		a, b := l.node("a", nil), l.node("b", nil)
		await(t, a, b.ID(), peer.Up)
		if err := b.Leave(t.Context()); err != nil {
			t.Errorf("Leave = %v", err)
		}
		l.WaitGone(a, b)
		if _, err := echo.Call(t.Context(), b.Peer(a.ID()), ""); !errors.Is(err, peer.ErrClosed) || !kith.Unprocessed(err) {
			t.Errorf("Call of a node that left = %v, want %v, unprocessed", err, peer.ErrClosed)
		}
		if _, err := echo.Call(t.Context(), a.Peer(b.ID()), ""); kith.CodeOf(err) != kith.Unavailable || !kith.Unprocessed(err) {
			t.Errorf("Call of a peer that left = %v, want Unavailable, unprocessed", err)
		}
		if got := a.Peers(); len(got) != 0 {
			t.Errorf("Peers() = %v, want nobody", got)
		}
	})
}

func TestNetworkKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		old, new := admit.NewNetworkKey(), admit.NewNetworkKey()
		with := func(ring ...admit.Secret) func(*peer.Config) {
			return func(c *peer.Config) { c.Admit = admit.NetworkKey(ring...) }
		}
		a := l.node("a", with(old))
		b := l.node("b", with(old, new)) // rotating
		c := l.node("c", with(new))
		await(t, a, b.ID(), peer.Up)
		await(t, b, c.ID(), peer.Up)
		time.Sleep(time.Minute)
		if got := a.Peers(); len(got) != 1 {
			t.Errorf("the node with the old key knows %v, want only the one that rotates", show(a))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := echo.Call(ctx, a.Peer(c.ID()), ""); err == nil {
			t.Error("a call between different keys succeeded")
		}
	})
}

// Any goes to another peer where one refused, or is gone.
func TestAnyFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		a, b, c := l.node("a", nil), l.node("b", nil), l.node("c", nil)
		await(t, a, b.ID(), peer.Up)
		await(t, a, c.ID(), peer.Up)
		seen := make(map[string]int)
		for range 50 {
			got, err := who.Call(t.Context(), a.Any(), struct{}{})
			if err != nil {
				t.Fatalf("Call = %v", err)
			}
			seen[got]++
		}
		if len(seen) != 2 {
			t.Errorf("50 calls went to %v, want both peers", seen)
		}
		left := make(chan error, 1)
		go func() { left <- b.Leave(t.Context()) }()
		for i := range 200 {
			if got, err := echo.Call(t.Context(), a.Any(), fmt.Sprint(i)); err != nil {
				t.Errorf("Call %d while a peer leaves = %q, %v", i, got, err)
			}
		}
		if err := <-left; err != nil {
			t.Errorf("Leave = %v", err)
		}
		l.Kill(c)
		if _, err := who.Call(t.Context(), a.Any(), struct{}{}); kith.CodeOf(err) != kith.Unavailable {
			t.Errorf("Call with nobody there = %v, want Unavailable", err)
		}
		back := make(chan error, 1)
		go func() {
			_, err := who.Call(t.Context(), a.Any(), struct{}{}, kith.WaitForReady())
			back <- err
		}()
		time.Sleep(20 * time.Second)
		l.node("d", nil)
		if err := <-back; err != nil {
			t.Errorf("Call that waited for a peer = %v", err)
		}
	})
}

func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		a := l.node("a", nil)
		want := make(map[kith.ID]string)
		for i := range 5 {
			host := fmt.Sprintf("h%d", i)
			n := l.node(host, nil)
			want[n.ID()] = host
			await(t, a, n.ID(), peer.Up)
		}
		for r := range kith.Gather(t.Context(), who, a, struct{}{}) {
			if r.Err != nil || want[r.ID] != r.Resp {
				t.Errorf("Reply = %+v, want %q", r, want[r.ID])
			}
			delete(want, r.ID)
		}
		if len(want) > 0 {
			t.Errorf("no reply from %v", want)
		}
	})
}

// Beyond the mesh, peers are found and connected when they are called, and the
// connection is closed when it is idle.
func TestMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		small := func(c *peer.Config) { c.Mesh, c.IdleTimeout = 3, time.Minute }
		var nodes []*peertest.Node
		for i := range 10 {
			nodes = append(nodes, l.node(fmt.Sprintf("h%d", i), small))
		}
		time.Sleep(2 * time.Minute)
		for i, n := range nodes {
			if st := n.Stats(); st.Known != 9 || st.Conns > 3 || st.Mesh > 3 {
				t.Errorf("node %d: Stats() = %+v, want 9 known, at most 3 connections", i, st)
			}
		}
		for i, n := range nodes[1:] {
			if got, err := who.Call(t.Context(), nodes[0].Peer(n.ID()), struct{}{}); err != nil || got != fmt.Sprintf("h%d", i+1) {
				t.Errorf("Call on use = %q, %v", got, err)
			}
		}
		time.Sleep(time.Second)
		if st := nodes[0].Stats(); st.Up != 9 {
			t.Errorf("Stats() = %+v, want all 9 up after calls to them", st)
		}
		time.Sleep(3 * time.Minute)
		for i, n := range nodes {
			if st := n.Stats(); st.Known != 9 || st.Conns > 3 {
				t.Errorf("node %d: Stats() after idle minutes = %+v, want at most 3 connections", i, st)
			}
		}
	})
}

// What was remembered is found without any discovery.
func TestRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		file := t.TempDir() + "/peers.json"
		b := l.node("b", nil)
		a := l.node("a", func(c *peer.Config) { c.RememberFile = file })
		l.WaitUp(a, b)
		if err := a.Leave(t.Context()); err != nil {
			t.Errorf("Leave = %v", err)
		}
		again := l.node("again", func(c *peer.Config) {
			c.RememberFile, c.Key, c.Discovery = file, l.Key("a"), []discovery.Discovery{}
		})
		l.WaitUp(again, b)
	})
}

// Only one side can dial: the other is reached all the same.
func TestOnlyOneSideDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		deaf := func(c *peer.Config) { c.Listen = []string{} }
		a, b := l.node("a", deaf), l.node("b", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if got, err := who.Call(ctx, b.Peer(a.ID()), struct{}{}, kith.WaitForReady()); err != nil || got != "a" {
			t.Errorf("Call of the one that does not listen = %q, %v", got, err)
		}
		if got, err := who.Call(ctx, a.Peer(b.ID()), struct{}{}); err != nil || got != "b" {
			t.Errorf("Call from the one that does not listen = %q, %v", got, err)
		}
	})
}

// Records of nodes that do not exist cannot fill the mesh for good: those that do find their places.
func TestMeshIsForTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		liar := l.Discovery("liar")
		defer liar.Close()
		for i := range 20 {
			s, err := discovery.Sign(l.Key(fmt.Sprint("ghost", i)), discovery.Record{
				Network: discovery.Public("").Network(), Sequence: 1, Expires: time.Now().Add(time.Hour),
				Addrs: []string{fmt.Sprintf("memory://10.9.9.%d:4433", i)},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := liar.Advertise(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		small := func(c *peer.Config) { c.Mesh = 3 }
		a := l.node("a", small)
		time.Sleep(2 * time.Second) // ghosts are all that it knows
		b, c := l.node("b", small), l.node("c", small)
		l.WaitUp(a, b, c)
	})
}

// Close may be called while Join is at work.
func TestCloseDuringJoin(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			l := newLAN(t, memory.Link{})
			d := l.Discovery("x")
			key := l.Key("x")
			tr := l.Network().Transport(memory.Config{Key: key, Host: "x"})
			n, err := peer.New(peer.Config{Admit: admit.Anyone(), Key: key, Transport: tr, Listen: []string{"memory://x:1"}, Discovery: []discovery.Discovery{d}})
			if err != nil {
				t.Fatal(err)
			}
			joined := make(chan error, 1)
			go func() { joined <- n.Join(t.Context()) }()
			if err := n.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
			if err := <-joined; err != nil && !errors.Is(err, peer.ErrClosed) {
				t.Errorf("Join = %v, want nil or %v", err, peer.ErrClosed)
			}
			_ = n.Close()
		})
	}
}
