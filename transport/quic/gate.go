package quic

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

var (
	errBusy       = errors.New("too many handshakes in progress")
	errBusySource = errors.New("too many handshakes in progress from one source")
)

// A gate counts the handshakes in progress at a listener.
type gate struct {
	max, maxSource int // negative for no limit

	mu      sync.Mutex
	total   int            // guarded by mu
	sources map[string]int // guarded by mu; has no zeros, and so at most total entries
}

// enter counts one more, unless that is too many.
func (g *gate) enter(source string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.max >= 0 && g.total >= g.max:
		return errBusy
	case g.maxSource >= 0 && g.sources[source] >= g.maxSource:
		return errBusySource
	}
	g.total++
	g.sources[source]++
	return nil
}

func (g *gate) leave(source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.sources[source]--; g.sources[source] == 0 {
		delete(g.sources, source)
	}
}

// crowded reports whether a newcomer must prove his address: otherwise packets
// with made up ones could take all places, or all those of somebody else.
func (g *gate) crowded(source string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.max >= 0 && g.total >= g.max/4 || g.maxSource >= 0 && g.sources[source] >= g.maxSource/4
}

// sourceOf names whom to count an address under.
func sourceOf(a net.Addr) string {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return hostOf(a)
	}
	p := sourcePrefix(u.AddrPort().Addr())
	if !p.IsValid() {
		return ""
	}
	return p.Addr().String()
}

// sourcePrefix returns whom an address counts for: an IPv6 host has at least a
// network of 64 bits to itself, and often one of 56.
func sourcePrefix(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() && !ip.IsLinkLocalUnicast() {
		bits = 56
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
