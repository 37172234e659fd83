package peer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A peer that leaves while a call is under way is Down, with a reason that tells a leave from a
// loss, before its connection has ended.
func TestDownSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, memory.Link{Latency: time.Millisecond})
		a, b := l.node("a", nil), l.node("b", nil)
		await(t, a, b.ID(), peer.Up)
		ctx, cancel := context.WithCancel(t.Context())
		called := make(chan error, 1)
		go func() {
			_, err := wait.Call(ctx, a.Peer(b.ID()), struct{}{})
			called <- err
		}()
		synctest.Wait()
		left := make(chan error, 1)
		go func() { left <- b.Leave(t.Context()) }()
		for ev := range a.Watch(t.Context()) {
			if ev.Kind != peer.Down {
				continue
			}
			var ended *transport.ConnError
			if !errors.As(ev.Info.Err, &ended) || ended.Code != kith.OK {
				t.Errorf("Down of a peer that leaves: Err = %v, want a ConnError with code %v", ev.Info.Err, kith.OK)
			}
			break
		}
		cancel()
		if err := <-called; !errors.Is(err, context.Canceled) {
			t.Errorf("Call = %v, want %v", err, context.Canceled)
		}
		if err := <-left; err != nil {
			t.Errorf("Leave = %v", err)
		}
	})
}
