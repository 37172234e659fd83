package quic

import (
	"net"
	"net/netip"
	"time"

	"github.com/kith-go/kith/internal/bar"
	"github.com/kith-go/kith/internal/ration"
)

const (
	// handshakeRate is how many packets of handshakes one source may send a second: those
	// of some 2,000 clients, more than a processor can answer. To refuse one, or to ask it
	// for proof, takes about ten microseconds.
	handshakeRate = 16_000
	// handshakeBurst is how many it may send at once, after a pause.
	handshakeBurst = 4096
)

// The first bits of a packet (RFC 9000, section 17): those of a handshake have the first
// one set, those of a connection the second.
const handshake, fixed = 0x80, 0x40

// A sieve drops packets before quic-go sees them: those that are none of QUIC's, and
// those of handshakes from a source that sends too many. Whoever is in earnest sends
// his again after a fifth of a second. It sees one packet after the other, in one
// goroutine.
type sieve struct {
	spacing ration.Spacing
	last    netip.Addr   // whose source was computed last
	source  netip.Prefix // and what that is
	tag     *idTag       // of the socket's connections; nil if they have none
	bar     *bar.Bar     // nil if the socket is not to have one
}

// newSieve returns a sieve that lets rate packets of handshakes a second through for each
// source; negative means any number.
func newSieve(rate int) sieve { return sieve{spacing: ration.NewSpacing(rate, handshakeBurst)} }

// passes reports whether a packet that came at the time now goes on.
func (v *sieve) passes(p []byte, from net.Addr, now time.Time) bool {
	switch {
	case len(p) == 0 || p[0]&(handshake|fixed) == 0 || p[0]&handshake == 0 && !v.tag.marks(p):
		v.bar.Dropped(netip.Prefix{}, now)
		return false
	case p[0]&handshake == 0:
		return true
	}
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return true
	}
	if a := u.AddrPort().Addr(); a != v.last {
		v.last, v.source = a, sourcePrefix(a)
	}
	if v.spacing.Begin(v.source, now) == 0 {
		return true
	}
	v.bar.Dropped(v.source, now)
	return false
}
