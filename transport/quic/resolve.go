package quic

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/kith-go/kith/transport"
)

// maxAddrs is how many addresses of a name are tried.
const maxAddrs = 8

// resolve returns the addresses of a.Host, of which there is at least one, in
// the order in which to try them.
func resolve(ctx context.Context, a transport.Addr) ([]netip.AddrPort, error) {
	host, port := a.SplitHostPort()
	if port == 0 {
		return nil, errors.New("no port")
	}
	var ips []netip.Addr
	if host == "" {
		ips = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	} else if ip, err := netip.ParseAddr(host); err == nil {
		ips = []netip.Addr{ip}
	} else if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	ips = alternate(ips)
	addrs := make([]netip.AddrPort, 0, maxAddrs)
	for _, ip := range ips[:min(len(ips), maxAddrs)] {
		addrs = append(addrs, netip.AddrPortFrom(ip, port))
	}
	return addrs, nil
}

// alternate orders addresses so that the two families take turns, beginning
// with that of the first: the resolver put the best one there.
func alternate(ips []netip.Addr) []netip.Addr {
	var first, other []netip.Addr
	for _, ip := range ips {
		if ip.Is4() == ips[0].Is4() {
			first = append(first, ip)
		} else {
			other = append(other, ip)
		}
	}
	mixed := make([]netip.Addr, 0, len(ips))
	for i := range max(len(first), len(other)) {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(other) {
			mixed = append(mixed, other[i])
		}
	}
	return mixed
}

// hasIPv4 reports whether the system has IPv4 at all. Connecting a UDP socket
// looks up the way and sends nothing.
func hasIPv4() bool {
	c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
