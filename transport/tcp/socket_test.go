package tcp_test

import (
	"strings"
	"testing"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/tcp"
)

// TestListenEverywhere dials what Addr says of a listener at all addresses, at one, and
// where no port was asked for.
func TestListenEverywhere(t *testing.T) {
	for _, host := range []string{":0", "0.0.0.0:0", "[::]:0", "localhost:0", "127.0.0.1", "localhost", "[::1]"} {
		tr := tcp.New(tcp.Config{})
		defer tr.Close()
		ln, err := tr.Listen(t.Context(), transport.Addr{Scheme: tcp.Scheme, Host: host})
		if err != nil {
			if strings.HasPrefix(host, "[") {
				continue // no IPv6 here
			}
			t.Fatal(err)
		}
		a := ln.Addr()
		if parsed, err := transport.ParseAddr(a.String()); err != nil || parsed != a {
			t.Errorf("ParseAddr(%q) = %v, %v", a, parsed, err)
		}
		if a.Scheme != tcp.Scheme || a.ID != tr.ID() {
			t.Errorf("Addr() = %v, want scheme tcp and ID %v", a, tr.ID())
		}
		c, err := tr.Dial(t.Context(), a)
		if err != nil {
			t.Errorf("Dial(%v), from listening at %s = %v", a, host, err)
			continue
		}
		if info := c.Info(); info.Remote.ID != a.ID || info.Transport != tcp.Scheme {
			t.Errorf("Info() = %+v", info)
		}
	}
}
