package memory

import (
	"maps"
	"net"
	"slices"
	"strings"
)

// A Death says how the far ends of connections learn that a host is gone.
type Death int

const (
	// Silently leaves them to find out: nothing comes back, and what they
	// write is buffered up to the window.
	Silently Death = iota
	// WithReset ends them at once.
	WithReset
)

// SetLink sets the link between a and b, the same in both directions. What is
// in flight keeps its time of arrival.
func (n *Network) SetLink(a, b string, link Link) {
	n.SetOneWay(a, b, link)
	n.SetOneWay(b, a, link)
}

// SetOneWay sets the link that carries what from sends to to.
func (n *Network) SetOneWay(from, to string, link Link) {
	n.lineOf(from, to).setLink(link)
}

// Partition lets nothing pass between a and b any more. Connections see
// silence: what is written is buffered up to the window, then Write blocks.
// Dials hang until their ctx ends, or fail if [Link.Refuse] is set.
func (n *Network) Partition(a, b string) {
	n.lineOf(a, b).block(parted, true)
	n.lineOf(b, a).block(parted, true)
}

// Heal ends a partition. What was on its way or waiting is sent again: it
// arrives after the link's latency.
func (n *Network) Heal(a, b string) {
	n.lineOf(a, b).block(parted, false)
	n.lineOf(b, a).block(parted, false)
}

// Stall freezes what from sends to to, until [Network.Unstall]. It is a
// partition in one direction that loses nothing.
func (n *Network) Stall(from, to string) { n.lineOf(from, to).block(stalled, true) }

// Unstall ends a stall. What is overdue arrives at once.
func (n *Network) Unstall(from, to string) { n.lineOf(from, to).block(stalled, false) }

// Reset ends all connections between a and b at both ends at once, with a
// [*transport.ConnError] of code Unavailable, not Remote, that has an Err.
func (n *Network) Reset(a, b string) {
	for _, c := range n.circuitsOf(a) {
		if c.joins(a, b) {
			c.ends[0].fail(lost(errReset))
			c.ends[1].fail(lost(errReset))
		}
	}
}

// Down crashes a host. Its listeners close, its ends of connections end with a
// [*transport.ConnError] of code Unavailable, and its Transports cannot dial or
// listen until [Network.Up]. The other ends die as how says; Dials to the
// host hang or fail as in a partition.
func (n *Network) Down(name string, how Death) {
	n.mu.Lock()
	h := n.host(name)
	if !h.down {
		h.down = true
		close(h.crash)
	}
	n.blockHost(name, true)
	listeners := n.listenersOf(name)
	for _, l := range listeners {
		n.silent[l.addr.Host] = name
	}
	n.mu.Unlock()
	for _, c := range n.circuitsOf(name) {
		c.severed.Store(true)
		for i := range c.ends {
			switch end := &c.ends[i]; {
			case end.owner.host == name:
				end.crashed.Store(true)
				end.fail(lost(errCrash))
			case how == WithReset:
				end.fail(lost(errReset))
			}
		}
	}
	for _, l := range listeners {
		_ = l.Close()
	}
}

// Up lets a crashed host be reached again. It comes back empty: nobody listens,
// and a far end that has survived is reset when it next sends something.
// Transports that the host had can be used again, or replaced by new ones.
func (n *Network) Up(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.host(name); h.down {
		h.down = false
		h.crash = make(chan struct{})
		maps.DeleteFunc(n.silent, func(_, host string) bool { return host == name })
		n.blockHost(name, false)
	}
}

// Move gives a host another address, as when a laptop changes network. Its
// listeners stay open under names that begin with addr and keep their ports;
// their Addr tells. The host keeps its name here and its links. Connections
// with other hosts break as how says: silently at both ends, or with a reset
// of both. It panics if addr cannot stand in an address.
func (n *Network) Move(name, addr string, how Death) {
	mustBeHost(addr)
	n.mu.Lock()
	n.host(name).addr = addr
	for _, l := range n.listenersOf(name) {
		delete(n.listeners, l.addr.Host)
		l.addr.Host = n.moved(l.addr.Host, addr)
		n.listeners[l.addr.Host] = l
	}
	n.mu.Unlock()
	for _, c := range n.circuitsOf(name) {
		if c.joins(name, name) {
			continue
		}
		c.severed.Store(true)
		if how == WithReset {
			c.ends[0].fail(lost(errMoved))
			c.ends[1].fail(lost(errMoved))
		}
	}
}

// moved returns the name of a listener after a move to addr. The caller holds mu.
func (n *Network) moved(name, addr string) string {
	to := addr
	if _, port, err := net.SplitHostPort(name); err == nil {
		to = addr + ":" + port
	}
	if n.listeners[to] != nil {
		to = n.freeName(addr)
	}
	return to
}

func (n *Network) lineOf(from, to string) *line {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.line(route{from, to})
}

// circuitsOf returns the connections with an end on a host.
func (n *Network) circuitsOf(name string) []*circuit {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []*circuit
	for c := range n.circuits {
		if c.ends[0].owner.host == name || c.ends[1].owner.host == name {
			found = append(found, c)
		}
	}
	return found
}

// joins reports whether c is between a and b.
func (c *circuit) joins(a, b string) bool {
	x, y := c.ends[0].owner.host, c.ends[1].owner.host
	return x == a && y == b || x == b && y == a
}

// listenersOf returns the listeners on a host, sorted by name. The caller holds mu.
func (n *Network) listenersOf(name string) []*listener {
	var found []*listener
	for _, l := range n.listeners {
		if l.owner.host == name {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b *listener) int { return strings.Compare(a.addr.Host, b.addr.Host) })
	return found
}

// blockHost blocks or frees all lines from and to a host. The caller holds mu.
func (n *Network) blockHost(name string, on bool) {
	for r, l := range n.lines {
		if r.from == name {
			l.block(fromDown, on)
		}
		if r.to == name {
			l.block(toDown, on)
		}
	}
}
