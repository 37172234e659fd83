package quic

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

// The system understands the filters, on sockets of either family and of both.
func TestFilterOfTheSystem(t *testing.T) {
	for _, tc := range []struct{ network, listen, dial, barred string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1/32"},
		{"udp6", "[::1]:0", "::1", "::/56"},
		{"udp", "[::]:0", "127.0.0.1", "127.0.0.1/32"},
		{"udp", "[::]:0", "::1", "::/56"},
	} {
		t.Run(tc.network+" from "+tc.dial, func(t *testing.T) {
			pc, err := net.ListenPacket(tc.network, tc.listen)
			if err != nil {
				t.Skipf("no such socket: %v", err)
			}
			defer pc.Close()
			to := net.UDPAddr{IP: net.ParseIP(tc.dial), Port: pc.LocalAddr().(*net.UDPAddr).Port}
			from, err := net.DialUDP("udp", nil, &to)
			if err != nil {
				t.Skipf("no way there: %v", err)
			}
			defer from.Close()
			b := bars{tag: &idTag{7, 9}}
			connected, other, initial := "\x40\x07\x09 of a connection", "\x40\x07\x08 of none", "\xc3 of a handshake"
			for _, step := range []struct {
				name   string
				barred []netip.Prefix
				want   []string
			}{
				{"in peace", nil, []string{initial, connected}},
				{"barred", []netip.Prefix{netip.MustParsePrefix(tc.barred)}, []string{connected}},
				{"another barred", []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, []string{initial, connected}},
			} {
				if err := ipv4.NewPacketConn(pc).SetBPF(b.program(step.barred)); err != nil {
					t.Fatalf("%s: SetBPF() = %v", step.name, err)
				}
				for _, p := range []string{"", "\x20 noise", other, initial, connected} {
					if _, err := from.Write([]byte(p)); err != nil {
						t.Fatal(err)
					}
				}
				_ = pc.SetReadDeadline(time.Now().Add(20 * time.Second)) // ends a hang
				for _, want := range step.want {
					p := make([]byte, 100)
					n, _, err := pc.ReadFrom(p)
					if string(p[:n]) != want || err != nil {
						t.Fatalf("%s: ReadFrom() = %q, %v, want %q", step.name, p[:n], err, want)
					}
				}
			}
		})
	}
}
