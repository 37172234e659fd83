package netconn

import (
	"net"
	"net/netip"
	"sync"
)

// A lobby holds the connections of a listener from the moment they come until
// Accept returns them. When it is full, the guest of longest standing that is
// still in its handshake has to go: a flood of silent connections so keeps
// nobody out who is quick.
type lobby struct {
	mu        sync.Mutex
	left      sync.Cond // signalled when a place is free, or all is closed
	total     int       // limits; negative for none
	perSource int
	closed    bool
	guests    int
	oldest    guestList                   // in their handshake, in the order in which they came
	sources   map[netip.Prefix]*guestList // the same, by source
}

// A guest is one connection in a lobby.
type guest struct {
	raw     net.Conn
	source  netip.Prefix // invalid if unknown
	shaking bool         // in its handshake, and in the lists
	evicted bool
	links   [2]struct{ prev, next *guest } // of lobby.oldest, and of its source's list
}

// A guestList is a doubly linked list, using one of a guest's pairs of links.
type guestList struct {
	which      int
	head, tail *guest
	len        int
}

func (l *guestList) push(g *guest) {
	g.links[l.which].prev = l.tail
	if l.tail == nil {
		l.head = g
	} else {
		l.tail.links[l.which].next = g
	}
	l.tail = g
	l.len++
}

func (l *guestList) remove(g *guest) {
	k := &g.links[l.which]
	if k.prev == nil {
		l.head = k.next
	} else {
		k.prev.links[l.which].next = k.next
	}
	if k.next == nil {
		l.tail = k.prev
	} else {
		k.next.links[l.which].prev = k.prev
	}
	k.prev, k.next = nil, nil
	l.len--
}

func (b *lobby) init(total, perSource int) {
	b.left.L = &b.mu
	b.total, b.perSource = total, perSource
	b.sources = make(map[netip.Prefix]*guestList)
}

// enter gives a connection a place, if need be that of another one, or waits
// for one while all guests have done their handshake. It returns nil after
// close.
func (b *lobby) enter(raw net.Conn) *guest {
	g := &guest{raw: raw, source: sourceOf(raw.RemoteAddr()), shaking: true}
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && b.total > 0 && b.guests >= b.total {
		if b.oldest.head == nil {
			b.left.Wait()
			continue
		}
		b.evict(b.oldest.head)
	}
	if b.closed {
		return nil
	}
	b.guests++
	b.oldest.push(g)
	if g.source.IsValid() {
		same := b.sources[g.source]
		if same == nil {
			same = &guestList{which: 1}
			b.sources[g.source] = same
		}
		if b.perSource > 0 && same.len >= b.perSource {
			b.evict(same.head)
		}
		same.push(g)
		b.sources[g.source] = same
	}
	return g
}

// evict ends a guest's handshake. mu held; closing a socket does not block.
func (b *lobby) evict(g *guest) {
	g.evicted = true
	b.unlist(g)
	b.guests--
	_ = g.raw.Close()
}

// unlist takes a guest off the lists of those in their handshake. mu held.
func (b *lobby) unlist(g *guest) {
	if !g.shaking {
		return
	}
	g.shaking = false
	b.oldest.remove(g)
	if same := b.sources[g.source]; same != nil {
		if same.remove(g); same.len == 0 {
			delete(b.sources, g.source)
		}
	}
}

// settle notes that a guest's handshake is done: it can stay.
func (b *lobby) settle(g *guest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlist(g)
}

// leave frees a guest's place.
func (b *lobby) leave(g *guest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlist(g)
	if !g.evicted {
		b.guests--
		b.left.Signal()
	}
}

func (b *lobby) wasEvicted(g *guest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return g.evicted
}

// close ends all handshakes, and lets nobody in any more.
func (b *lobby) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for b.oldest.head != nil {
		b.evict(b.oldest.head)
	}
	b.left.Broadcast()
}

// sourceOf returns whom connections from an address count against: an IPv4
// address, or the /56 that one IPv6 subscriber commonly has.
func sourceOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 56
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
