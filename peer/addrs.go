package peer

import (
	"net"
	"net/netip"
	"slices"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/transport"
)

// Addrs returns the addresses that the node tells others, with its ID.
func (n *Node) Addrs() []string {
	n.advMu.Lock()
	defer n.advMu.Unlock()
	addrs := make([]string, 0, len(n.addrs))
	for _, text := range n.addrs {
		if a, err := transport.ParseAddr(text); err == nil {
			a.ID = n.id
			addrs = append(addrs, a.String())
		}
	}
	return addrs
}

// currentAddrs returns what to advertise now.
func (n *Node) currentAddrs() []string {
	var addrs []string
	if n.cfg.Advertise != nil {
		addrs = n.cfg.Advertise()
	} else {
		for _, l := range n.listeners {
			addrs = append(addrs, l.reachable()...)
		}
	}
	return addrs[:min(len(addrs), discovery.MaxAddrs)]
}

// reachable returns the addresses under which others reach a listener.
func (l listening) reachable() []string {
	a := l.Addr()
	a.ID = kith.ID{}
	_, port, err := net.SplitHostPort(a.Host)
	if err != nil || !l.atAll {
		return []string{a.String()}
	}
	var addrs []string
	for _, ip := range hostAddrs() {
		a.Host = net.JoinHostPort(ip.String(), port)
		addrs = append(addrs, a.String())
	}
	return addrs
}

// atAll reports whether a host and port to listen at name no address.
func atAll(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	ip, perr := netip.ParseAddr(host)
	return err == nil && (host == "" || perr == nil && ip.IsUnspecified())
}

// hostAddrs returns this host's addresses, those that others are most likely to reach
// first. Where there are no others, loopback ones reach the nodes on this host.
func hostAddrs() []netip.Addr {
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var outer, loopback []netip.Addr
	for _, a := range ifaces {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch ip := p.Addr().Unmap(); {
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		case !ip.IsLinkLocalUnicast():
			outer = append(outer, ip)
		}
	}
	slices.SortStableFunc(outer, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() }) // IPv4 first
	if len(outer) == 0 {
		return loopback
	}
	return outer[:min(len(outer), maxHostAddrs)]
}

// maxHostAddrs keeps the record small: each is told once for each listener.
const maxHostAddrs = 6

// onLAN reports whether an address out of a record may be dialled. A record can be
// made by anyone: it must not make nodes look up names or call hosts elsewhere.
func onLAN(text string) bool {
	a, err := transport.ParseAddr(text)
	if err != nil {
		return false
	}
	if a.Scheme != "quic" && a.Scheme != "tcp" {
		return true
	}
	ap, err := netip.ParseAddrPort(a.Host)
	if err != nil {
		return false
	}
	ip := ap.Addr().Unmap()
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || local(ip)
}

// local reports whether ip is in a network that this host has an interface in.
func local(ip netip.Addr) bool {
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ifaces, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Contains(ip)
	})
}
