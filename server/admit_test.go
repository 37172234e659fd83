package server_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

func TestPins(t *testing.T) {
	friend, stranger := kith.NewKey(), kith.NewKey()
	network := memory.NewNetwork(memory.NetworkConfig{})
	t.Cleanup(func() { _ = network.Close() })
	for name, with := range map[string]func(*kith.Key) transport.Transport{
		"memory": func(k *kith.Key) transport.Transport { return network.Transport(memory.Config{Key: k}) },
		"tcp":    func(k *kith.Key) transport.Transport { return tcp.New(tcp.Config{Key: k}) },
		"quic":   func(k *kith.Key) transport.Transport { return quic.New(quic.Config{Key: k}) },
	} {
		t.Run(name, func(t *testing.T) {
			as := func(k *kith.Key) transport.Transport {
				tr := with(k)
				t.Cleanup(func() { _ = tr.Close() })
				return tr
			}
			var h kith.Handlers
			hang.Handle(&h, func(ctx context.Context, _ string) (string, error) { return kith.PeerFrom(ctx).ID.String(), nil })
			r := startPinned(t, as(nil), &h, friend.ID())
			c, err := r.tryDial(t, as(friend))
			if err != nil {
				t.Fatalf("dial of a friend = %v", err)
			}
			if got, err := hang.Call(t.Context(), c, ""); got != friend.ID().String() || err != nil {
				t.Errorf("Call = %v, %v, want %v", got, err, friend.ID())
			}
			_, err = r.tryDial(t, as(stranger))
			if !errors.Is(err, admit.ErrRefused) || kith.CodeOf(err) != kith.PermissionDenied || !kith.Unprocessed(err) || !kith.Remote(err) {
				t.Errorf("dial of a stranger = %v, want a remote %v, unprocessed", err, admit.ErrRefused)
			}
			// Close has joined what logs and counts.
			_ = r.Close()
			lines := r.log.lines("peer refused")
			if len(lines) != 1 || !strings.Contains(lines[0], stranger.ID().String()) {
				t.Errorf("logged %q, want one line that names %v", lines, stranger.ID())
			}
			if st := r.Stats(); st.Accepted != 1 || st.Refused != 1 || st.Failed+st.Limited != 0 {
				t.Errorf("Stats() = %+v, want 1 accepted, 1 refused", st)
			}
		})
	}
}

func startPinned(t *testing.T, tr transport.Transport, h *kith.Handlers, ids ...kith.ID) *rig {
	return start(t, tr, h, func(c *server.Config) { c.Admit = admit.Pins(ids...) })
}

// A server that admits by identity tells a client without one what is missing.
func TestPinsNeedIdentity(t *testing.T) {
	tr := tcp.New(tcp.Config{Plaintext: true})
	defer tr.Close()
	r := startPinned(t, tr, echoHandlers(), kith.NewKey().ID())
	if _, err := r.tryDial(t, tr); kith.CodeOf(err) != kith.Unauthenticated || !kith.Remote(err) {
		t.Errorf("dial without an identity = %v, want %v", err, kith.Unauthenticated)
	}
}

// Only text that was authored for the other side reaches it.
func TestPolicyErrorStaysHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := errors.New("the database at 10.1.2.3 is down\n")
		r := start(t, overMemory(t), echoHandlers(), func(c *server.Config) {
			c.Admit = admit.Func(func(transport.Info) (admit.Grant, error) { return admit.Grant{}, secret })
		})
		_, err := r.tryDial(t, r.tr)
		if !errors.Is(err, admit.ErrRefused) || strings.Contains(err.Error(), "database") {
			t.Errorf("dial = %v, want %v", err, admit.ErrRefused)
		}
		synctest.Wait()
		if lines := r.log.lines("10.1.2.3"); len(lines) != 1 {
			t.Errorf("logged %q, want one line", r.log)
		}
	})
}

func TestPolicyPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, overMemory(t), echoHandlers(), func(c *server.Config) {
			c.Admit = admit.Func(func(transport.Info) (admit.Grant, error) { panic("secret") })
		})
		for range 2 {
			if _, err := r.tryDial(t, r.tr); !errors.Is(err, admit.ErrRefused) || strings.Contains(err.Error(), "secret") {
				t.Errorf("dial = %v, want %v", err, admit.ErrRefused)
			}
		}
		synctest.Wait()
		if st := r.Stats(); st.Refused != 2 || len(r.log.lines("panic=secret")) != 2 {
			t.Errorf("Stats() = %+v, want 2 refused, logged %s", st, r.log)
		}
	})
}

// What admission says of a peer is what handlers and access checks see.
func TestGrant(t *testing.T) {
	h := echoHandlers()
	hang.Handle(h, func(ctx context.Context, _ string) (string, error) {
		p := kith.PeerFrom(ctx)
		return p.Name + " of " + strings.Join(p.Groups, "+"), nil
	}, server.AccessGroup("staff", "admin"))
	gulp.Handle(h, drink, server.AccessGroup("admin"))
	tr := overMemory(t)
	r := start(t, tr, h, func(c *server.Config) {
		c.Admit = admit.Func(func(transport.Info) (admit.Grant, error) {
			return admit.Grant{Name: "ada", Groups: []string{"guests", "staff"}}, nil
		})
	})
	c := r.dial(t)
	if got, err := hang.Call(t.Context(), c, ""); got != "ada of guests+staff" || err != nil {
		t.Errorf("Call = %q, %v", got, err)
	}
	d, err := gulp.Call(t.Context(), c)
	if err != nil {
		t.Fatalf("Call = %v", err)
	}
	defer d.Close()
	if _, err := d.CloseAndRecv(); kith.CodeOf(err) != kith.PermissionDenied || !kith.Unprocessed(err) {
		t.Errorf("Call without access = %v, want %v, unprocessed", err, kith.PermissionDenied)
	}
}

func drink(_ context.Context, in iter.Seq2[string, error]) (n int, err error) {
	for _, err = range in {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
