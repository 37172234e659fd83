package bar_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/kith-go/kith/internal/bar"
)

// The system understands the filters of UDP sockets, of either family and of both.
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
			set := bar.Filter(pc.(*net.UDPConn))
			connected, other, initial, noise := "\x40\x07\x09 of a connection", "\x40\x07\x08 of none", "\xc3 of a handshake", "\x20 noise"
			for _, step := range []struct {
				name   string
				barred string
				want   []string
			}{
				{"in peace", "", []string{noise, other, initial, connected}},
				{"barred", tc.barred, []string{connected}},
				{"another barred", "127.0.0.2/32", []string{initial, connected}},
				{"in peace again", "", []string{noise, other, initial, connected}},
			} {
				if step.barred == "" {
					_ = set(nil) // there may be none to remove
				} else {
					b := bar.QUIC(set, []byte{7, 9})
					drop(b, netip.MustParsePrefix(step.barred), quicDrops)
					b.Stop()
				}
				for _, p := range []string{noise, other, initial, connected} {
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

// The system understands the filters of TCP sockets: who is barred does not get in, other
// sources do, and connections that are open go on.
func TestListenerOfTheSystem(t *testing.T) {
	for _, tc := range []struct{ network, listen, bad, barred, good string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.2", "127.0.0.2/32", "127.0.0.3"},
		{"tcp", "[::]:0", "127.0.0.2", "127.0.0.2/32", "127.0.0.3"},
		{"tcp6", "[::1]:0", "::1", "::/56", ""},
	} {
		t.Run(tc.network+" from "+tc.bad, func(t *testing.T) {
			var lc net.ListenConfig
			lc.SetMultipathTCP(false) // whose sockets have no filters
			inner, err := lc.Listen(t.Context(), tc.network, tc.listen)
			if err != nil {
				t.Skipf("no such socket: %v", err)
			}
			defer inner.Close()
			ln := bar.Listener{TCPListener: inner.(*net.TCPListener)}
			open := connect(t, ln, tc.bad)
			b := bar.TCP(bar.Filter(ln))
			drop(b, netip.MustParsePrefix(tc.barred), tcpDrops)
			b.Stop()
			if c, err := dialFrom(t, ln, tc.bad, 200*time.Millisecond); err == nil {
				c.Close()
				t.Errorf("a barred source gets in")
			}
			pass(t, open)
			if tc.good != "" {
				pass(t, connect(t, ln, tc.good)) // the filter is its own too
			}
			if err := bar.Filter(ln)(nil); err != nil {
				t.Errorf("Filter()(nil) = %v", err)
			}
			pass(t, connect(t, ln, tc.bad))
		})
	}
}

func dialFrom(t *testing.T, ln net.Listener, ip string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: timeout}
	port := ln.Addr().(*net.TCPAddr).Port
	to := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	if net.ParseIP(ip).To4() == nil {
		to.IP = net.IPv6loopback
	}
	return d.DialContext(t.Context(), "tcp", to.String())
}

// connect returns both ends of a connection from an address.
func connect(t *testing.T, ln net.Listener, ip string) (ends [2]net.Conn) {
	t.Helper()
	var err error
	if ends[0], err = dialFrom(t, ln, ip, 20*time.Second); err != nil {
		t.Fatalf("dial from %s = %v", ip, err)
	}
	t.Cleanup(func() { ends[0].Close() })
	if ends[1], err = ln.Accept(); err != nil {
		t.Fatalf("Accept() = %v", err)
	}
	t.Cleanup(func() { ends[1].Close() })
	return ends
}

// pass sends something each way.
func pass(t *testing.T, ends [2]net.Conn) {
	t.Helper()
	for i, from := range ends {
		to := ends[1-i]
		if _, err := from.Write([]byte("news")); err != nil {
			t.Fatalf("Write() = %v", err)
		}
		_ = to.SetReadDeadline(time.Now().Add(20 * time.Second)) // ends a hang
		p := make([]byte, 10)
		if n, err := to.Read(p); string(p[:n]) != "news" || err != nil {
			t.Fatalf("Read() = %q, %v, want %q", p[:n], err, "news")
		}
	}
}
