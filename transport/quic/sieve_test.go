package quic

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestSieve(t *testing.T) {
	bad := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
	good := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
	other := &net.UnixAddr{Name: "here"}
	handshake, established, noise := []byte{0xc3, 1}, []byte{0x40, 1}, []byte{0x20, 1}
	v, now := newSieve(handshakeRate), time.Unix(1, 0)
	check := func(what string, p []byte, from net.Addr, want bool) {
		t.Helper()
		if got := v.passes(p, from, now); got != want {
			t.Errorf("passes(%s) = %t, want %t", what, got, want)
		}
	}
	check("nothing", nil, good, false)
	check("noise", noise, good, false)
	for i := range handshakeBurst {
		bad.Port = i // it is the host that counts
		check("a handshake", handshake, bad, true)
	}
	for range 3 {
		check("a handshake too many", handshake, bad, false)
		check("a packet of a connection", established, bad, true)
		check("somebody else's handshake", handshake, good, true)
		check("a handshake of nobody known", handshake, other, true)
	}
	now = now.Add(time.Second / handshakeRate)
	check("a handshake in its time", handshake, bad, true)
	check("one before its time", handshake, bad, false)
	v.tag = &idTag{1, 2}
	check("a packet with the tag", []byte{0x40, 1, 2}, bad, true)
	check("one with another", []byte{0x40, 1, 3}, good, false)
	check("one cut off", []byte{0x40, 1}, good, false)
	v = newSieve(-1)
	for range 2 * handshakeBurst {
		check("one of many without a limit", handshake, bad, true)
	}
}

func TestSourcePrefix(t *testing.T) {
	for ip, want := range map[string]string{
		"10.1.2.3":             "10.1.2.3/32",
		"::ffff:10.1.2.3":      "10.1.2.3/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1::/56",
		"fe80::1%eth0":         "fe80::1/128",
	} {
		if got := sourcePrefix(netip.MustParseAddr(ip)); got != netip.MustParsePrefix(want) {
			t.Errorf("sourcePrefix(%s) = %v, want %s", ip, got, want)
		}
	}
	if got := sourcePrefix(netip.Addr{}); got.IsValid() {
		t.Errorf("sourcePrefix() of no address = %v, want none", got)
	}
}
