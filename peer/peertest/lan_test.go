package peertest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

var who = kith.Unary[struct{}, string]("test/Who", kith.Idempotent())

// app is the configuration of an application.
func app(name string) peer.Config {
	var h kith.Handlers
	who.Handle(&h, func(context.Context, struct{}) (string, error) { return name, nil })
	return peer.Config{Handlers: &h, Admit: admit.Anyone()}
}

// inBubbleAndOutside runs a test in virtual time, and in real time.
func inBubbleAndOutside(t *testing.T, test func(t *testing.T)) {
	t.Run("Bubble", func(t *testing.T) { synctest.Test(t, test) })
	t.Run("Outside", test)
}

func call(t *testing.T, from, to *peertest.Node) {
	t.Helper()
	got, err := who.Call(t.Context(), from.Peer(to.ID()), struct{}{}, kith.WaitForReady())
	if err != nil || got != to.Name() {
		t.Errorf("Call from %s = %q, %v, want %q", from.Name(), got, err, to.Name())
	}
}

func TestJoin(t *testing.T) {
	inBubbleAndOutside(t, func(t *testing.T) {
		lan := peertest.New(t, peertest.Config{Link: memory.Link{Latency: time.Millisecond}})
		a, b := lan.Join("a", app("a")), lan.Join("b", app("b"))
		lan.WaitFound(a, b)
		lan.WaitUp(a, b)
		call(t, a, b)
		call(t, b, a)
		if a.ID() != lan.Key("a").ID() {
			t.Errorf("ID() = %v, want that of Key", a.ID())
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := peertest.New(t, peertest.Config{Schemes: []string{"quic", "tcp"}, Link: memory.Link{Latency: time.Millisecond}})
		a, b, c := lan.Join("a", app("a")), lan.Join("b", app("b")), lan.Join("c", app("c"))
		lan.WaitUp(a, b, c)

		lan.Partition(c)
		lan.WaitDown(c, a, b)
		lan.WaitDown(a, c)
		lan.WaitUp(a, b)
		lan.Heal()
		lan.WaitUp(a, b, c)

		lan.Sleep(b)
		lan.WaitGone(a, b)
		lan.Wake(b)
		lan.WaitUp(a, b, c)

		lan.Move(a)
		time.Sleep(5 * time.Second)
		call(t, a, b)
		call(t, c, a)

		lan.Crash(b)
		lan.WaitGone(a, b)
		b = lan.Restart(b)
		lan.WaitUp(a, b, c)

		lan.Kill(c)
		lan.WaitGone(a, c)
		c = lan.Restart(c)
		lan.Restart(c)
		lan.WaitUp(a, b)
	})
}
