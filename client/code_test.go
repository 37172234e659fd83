package client_test

import (
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/tcp"
)

// Waiting does not help where somebody else answers, or nobody can tell who
// should: the code says so.
func TestHopelessDialCode(t *testing.T) {
	n := memory.NewNetwork(memory.NetworkConfig{})
	defer n.Close()
	if _, err := n.Transport(memory.Config{Host: "server"}).Listen(t.Context(), transport.Addr{Host: "server"}); err != nil {
		t.Fatal(err)
	}
	over := tcp.New(tcp.Config{})
	defer over.Close()
	for _, tc := range []struct {
		tr   transport.Transport
		addr string
		want kith.Code
	}{
		{n.Transport(memory.Config{}), "memory://" + kith.NewKey().ID().String() + "@server", kith.Unauthenticated},
		{over, "tcp://127.0.0.1:1", kith.Unauthenticated},
		{n.Transport(memory.Config{}), "memory://nobody", kith.Unavailable},
	} {
		_, err := client.Dial(t.Context(), client.Config{Transport: tc.tr, Addrs: []string{tc.addr}})
		if code := kith.CodeOf(err); err == nil || code != tc.want {
			t.Errorf("Dial(%s) = %v with code %v, want %v", tc.addr, err, code, tc.want)
		}
	}
}
