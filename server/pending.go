package server

import (
	"net/netip"
	"slices"
	"time"

	"github.com/kith-go/kith/transport"
)

// maxPendingTotal bounds the connections in their hello of all sources.
const maxPendingTotal = 1024

// maxPatience is how long a connection may stay in its hello while others want
// its place, or a tenth of the hello timeout if that is less.
const maxPatience = 500 * time.Millisecond

// pending is the connections in their hello. Where there are too many, a
// newcomer takes the place of the oldest that has had time enough, so that
// silent connections keep nobody out for long, and is turned away if there is
// none such, so that many that are quick do not push each other out.
type pending struct {
	perSource int           // how many of one source, negative for any number
	patience  time.Duration // none has to go before
	all       []*conn       // in the order they came
	sources   map[string][]*conn
}

// enter takes c in. It returns the connection that has to go for it, if any, and
// reports false if there is no room.
func (p *pending) enter(c *conn) (gone *conn, ok bool) {
	same := p.sources[c.from]
	switch {
	// Transports that cannot tell sources apart have the empty one.
	case c.from != "" && p.perSource >= 0 && len(same) >= p.perSource:
		gone = same[0]
	case len(p.all) >= maxPendingTotal:
		gone = p.all[0]
	}
	if gone != nil {
		if c.came.Sub(gone.came) < p.patience {
			return nil, false
		}
		p.leave(gone)
	}
	p.all = append(p.all, c)
	p.sources[c.from] = append(p.sources[c.from], c)
	return gone, true
}

// leave lets c out, if it has not had to go.
func (p *pending) leave(c *conn) {
	i := slices.Index(p.all, c)
	if i < 0 {
		return
	}
	p.all = slices.Delete(p.all, i, i+1)
	same := p.sources[c.from]
	i = slices.Index(same, c)
	if same = slices.Delete(same, i, i+1); len(same) == 0 {
		delete(p.sources, c.from)
	} else {
		p.sources[c.from] = same
	}
}

// source returns what connections from one place have in common. Whoever has
// an IPv6 address has 2^64 of them, hence the prefix.
func source(a transport.Addr) string {
	host, _ := a.SplitHostPort()
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
