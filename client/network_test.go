package client_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// What a client is told, or finds out itself, can be tested for, over every
// transport.
func TestNetworkKeyErrors(t *testing.T) {
	overTransports(t, func(t *testing.T, servers, home transport.Transport) {
		key := admit.NewNetworkKey()
		member := serve(t, servers, "a", func(s *testServer) { s.cfg.Admit = admit.NetworkKey(key) })
		keyless := serve(t, servers, "b", nil)
		for _, tt := range []struct {
			name   string
			at     *testServer
			policy admit.Policy
			remote bool
		}{
			{"the wrong key", member, admit.NetworkKey(admit.NewNetworkKey()), true},
			{"no key", member, nil, true},
			{"a server without the key", keyless, admit.NetworkKey(key), false},
		} {
			c, err := client.Dial(t.Context(), client.Config{Transport: home, Addrs: []string{tt.at.l.Addr().String()}, Admit: tt.policy})
			if err == nil {
				_ = c.Close()
			}
			var de *client.DialError
			if !errors.As(err, &de) || de.Code() != kith.PermissionDenied || !errors.Is(err, admit.ErrNetworkKey) || kith.Remote(err) != tt.remote {
				t.Errorf("%s: Dial = %v, want a DialError of %v, remote %t", tt.name, err, admit.ErrNetworkKey, tt.remote)
			}
		}
		c := newClient(t, client.Config{
			Transport: home, Addrs: []string{keyless.l.Addr().String(), member.l.Addr().String()}, Admit: admit.NetworkKey(key),
		})
		callWhere(t, c, "a") // passes over the server that is no member
	})
}

// Nothing is said to somebody else than the one who was dialled, whatever the
// transport lets pass.
func TestProofOnlyToTheDialled(t *testing.T) {
	network := memory.NewNetwork(memory.NetworkConfig{})
	defer network.Close()
	l, err := network.Transport(memory.Config{}).Listen(t.Context(), transport.Addr{Host: "mallory"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().WithID(kith.NewKey().ID()).String()
	_, err = client.Dial(t.Context(), client.Config{
		Transport: credulous{network.Transport(memory.Config{})}, Addrs: []string{addr}, Admit: admit.NetworkKey(admit.NewNetworkKey()),
	})
	var wrong *transport.PeerError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "wrong peer") {
		t.Errorf("Dial = %v, want a PeerError", err)
	}
	conn, err := l.Accept(t.Context())
	if err != nil {
		return // it was gone before it could be accepted
	}
	defer conn.CloseWithError(kith.OK, "")
	if st, err := conn.AcceptStream(t.Context()); err == nil {
		t.Errorf("AcceptStream = %v, want nothing said", st)
	}
}
