package kith_test

import (
	"context"
	"testing"

	"github.com/kith-go/kith"
)

func TestOutsideHandlers(t *testing.T) {
	ctx := t.Context()
	c := kith.CallerFrom(ctx)
	if _, err := methodA.Call(ctx, c, 1); err == nil || kith.Unprocessed(err) || kith.Remote(err) {
		t.Errorf("Call through CallerFrom(no handler) = %v, want a plain error", err)
	}
	if d, err := methodChat.Call(ctx, c); err == nil || d != nil {
		t.Errorf("Bidi.Call through CallerFrom(no handler) = %v, %v, want an error", d, err)
	}
	if p := kith.PeerFrom(ctx); !p.ID.IsZero() || p.Name != "" || p.Groups != nil || p.Addr != "" {
		t.Errorf("PeerFrom(no handler) = %+v, want the zero Peer", p)
	}
	if md := kith.MetadataFrom(ctx); md != nil {
		t.Errorf("MetadataFrom(no handler) = %v, want nil", md)
	}
	if err := kith.SetTrailer(ctx, kith.Metadata{"k": "v"}); err == nil {
		t.Error("SetTrailer(no handler) = nil, want an error")
	}
	if ch := kith.Draining(ctx); ch != nil {
		t.Error("Draining(no handler) is not nil")
	}
	odd := context.WithValue(ctx, kith.CallKey{}, "no Inbound")
	if md, p := kith.MetadataFrom(odd), kith.PeerFrom(odd); md != nil || !p.ID.IsZero() || kith.Draining(odd) != nil {
		t.Errorf("functions of a ctx with an odd CallKey = %v, %v, want nothing", md, p)
	}
}

func TestInsideHandlers(t *testing.T) {
	peer := &kith.Peer{ID: goodID(t, 1), Name: "kitchen", Groups: []string{"home"}, Addr: "memory://kitchen"}
	var h kith.Handlers
	methodB.Handle(&h, double)
	methodA.Handle(&h, func(ctx context.Context, n int) (int, error) {
		if p := kith.PeerFrom(ctx); p.ID != peer.ID || p.Name != "kitchen" || len(p.Groups) != 1 || p.Addr != peer.Addr {
			t.Errorf("PeerFrom = %+v, want %+v", p, peer)
		}
		if md := kith.MetadataFrom(ctx); md["k"] != "v" || len(md) != 1 {
			t.Errorf("MetadataFrom = %v, want k=v", md)
		}
		select {
		case <-kith.Draining(ctx):
			t.Error("Draining is closed, want it open")
		default:
		}
		if kith.Draining(ctx) == nil {
			t.Error("Draining = nil, want a channel")
		}
		if err := kith.SetTrailer(ctx, kith.Metadata{"spent": "1ms"}); err != nil {
			t.Errorf("SetTrailer = %v, want no error", err)
		}
		return methodB.Call(ctx, kith.CallerFrom(ctx), n)
	})
	c := &loop{handlers: &h, peer: peer}
	var trailer kith.Metadata
	got, err := methodA.Call(t.Context(), c, 21, kith.WithMetadata(kith.Metadata{"k": "v"}), kith.Trailer(&trailer))
	if got != 42 || err != nil || trailer["spent"] != "1ms" {
		t.Errorf("Call(21) = %d, %v, trailer %v, want 42 by a call back, spent=1ms", got, err, trailer)
	}

	// A link that proves nothing: no Peer at all.
	var bare kith.Handlers
	methodA.Handle(&bare, func(ctx context.Context, n int) (int, error) {
		if p := kith.PeerFrom(ctx); !p.ID.IsZero() {
			t.Errorf("PeerFrom = %+v, want the zero Peer", p)
		}
		return n, nil
	})
	if _, err := methodA.Call(t.Context(), &loop{handlers: &bare}, 1); err != nil {
		t.Errorf("Call(1) = %v, want no error", err)
	}
}
