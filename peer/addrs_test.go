package peer_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// A node that listens at all addresses tells others those of the host's interfaces, not
// the one that only reaches it from here.
func TestAddrsOfAllInterfaces(t *testing.T) {
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{} // hosts that must be told, where there is one
	for _, a := range ifaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			want[p.Addr().String()] = true
		}
	}
	if len(want) == 0 {
		t.Skip("this host has only loopback addresses")
	}
	for _, at := range []string{"quic://:0", "tcp://:0", "tcp://0.0.0.0:0", "tcp://127.0.0.1:0"} {
		n, err := peer.New(peer.Config{Admit: admit.Anyone(), Listen: []string{at}, Discovery: []discovery.Discovery{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Join(t.Context()); err != nil {
			t.Fatalf("Join at %s = %v", at, err)
		}
		outer := false
		for _, text := range n.Addrs() {
			a, err := transport.ParseAddr(text)
			if err != nil || a.ID != n.ID() {
				t.Errorf("Addrs() at %s has %q, %v", at, text, err)
			}
			host, _, _ := net.SplitHostPort(a.Host)
			outer = outer || want[host]
		}
		if want := !strings.Contains(at, "127.0.0.1"); outer != want {
			t.Errorf("Addrs() at %s = %q, want an address of an interface: %t", at, n.Addrs(), want)
		}
		if err := n.Leave(t.Context()); err != nil {
			t.Errorf("Leave = %v", err)
		}
	}
}
