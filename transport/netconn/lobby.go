package netconn

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kith-go/kith/internal/ration"
)

const (
	// defaultHandshakeRate is how many handshakes of one source begin a second:
	// what takes about a fifth of one processor.
	defaultHandshakeRate = 200
	// handshakeBurst is how many begin at once, after a pause.
	handshakeBurst = 64
	// plainFactor is how many times as many of both there are without TLS.
	plainFactor = 16
)

// A lobby holds the connections of a listener from the moment they come until
// Accept returns them. When it is full, the guest of longest standing that is
// still in its handshake has to go: a flood of silent connections so keeps
// nobody out who is quick. Those of one source begin their handshakes at a
// bounded rate, since what these cost others is processor time; where that
// source has too many, it is those who wait for their turn that have to go.
type lobby struct {
	mu        sync.Mutex
	left      sync.Cond // signalled when a place is free, or all is closed
	total     int       // limits; negative for none
	perSource int
	closed    bool
	guests    int
	oldest    guestList                // in their handshake, in the order in which they came
	sources   map[netip.Prefix]*source // the same, by source
	spacing   ration.Spacing
	start     func(*guest) // begins a handshake; called with mu held
}

// A source is the guests from one place that are in their handshake.
type source struct {
	prefix  netip.Prefix
	all     guestList
	waiting guestList   // those of them that have not begun
	timer   *time.Timer // runs while there are any
}

// A guest is one connection in a lobby.
type guest struct {
	raw     net.Conn
	source  netip.Prefix // invalid if unknown
	shaking bool         // in its handshake, and in the lists
	evicted bool
	waits   bool                           // it has not begun, and is in its source's list of those
	links   [3]struct{ prev, next *guest } // of lobby.oldest, and of its source's lists
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

func (b *lobby) init(total, perSource int, spacing ration.Spacing, start func(*guest)) {
	b.left.L = &b.mu
	b.total, b.perSource = total, perSource
	b.sources = make(map[netip.Prefix]*source)
	b.spacing, b.start = spacing, start
}

// enter gives a connection a place, if need be that of another one, or waits
// for one while all guests have done their handshake. Its handshake is started
// when its turn comes. It returns who had to go before that was, if anybody had,
// and reports false after close.
func (b *lobby) enter(raw net.Conn) (gone *guest, ok bool) {
	g := &guest{raw: raw, source: sourceOf(raw.RemoteAddr()), shaking: true}
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && b.total > 0 && b.guests >= b.total {
		if b.oldest.head == nil {
			b.left.Wait()
			continue
		}
		gone = b.evict(b.oldest.head)
	}
	if b.closed {
		return nil, false
	}
	b.guests++
	b.oldest.push(g)
	if !g.source.IsValid() {
		b.start(g)
		return gone, true
	}
	same := b.sources[g.source]
	if same == nil {
		same = &source{prefix: g.source, all: guestList{which: 1}, waiting: guestList{which: 2}}
		b.sources[g.source] = same
	}
	if b.perSource > 0 && same.all.len >= b.perSource {
		gone = b.evict(same.lastOut())
		b.sources[g.source] = same // it may have been empty for a moment
	}
	same.all.push(g)
	same.waiting.push(g)
	g.waits = true
	if same.timer == nil {
		b.serve(same)
	}
	return gone, true
}

// lastOut is the guest that has to go for another one of its source.
func (s *source) lastOut() *guest {
	if s.waiting.head != nil {
		return s.waiting.head
	}
	return s.all.head
}

// serve lets guests of a source begin, as many as may, and comes back for the
// rest. mu held.
func (b *lobby) serve(s *source) {
	if s.timer != nil {
		s.timer.Stop() // another one, if this is its call that came too late to be stopped
		s.timer = nil
	}
	for s.waiting.head != nil {
		if wait := b.spacing.Begin(s.prefix, time.Now()); wait > 0 {
			s.timer = time.AfterFunc(wait, func() { b.serveLater(s) })
			return
		}
		g := s.waiting.head
		b.release(s, g)
		b.start(g)
	}
}

func (b *lobby) serveLater(s *source) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve(s)
}

// release ends a guest's waiting. mu held.
func (b *lobby) release(s *source, g *guest) {
	s.waiting.remove(g)
	g.waits = false
}

// evict ends a guest's handshake, and returns it if that has not been started. mu held;
// closing a socket does not block.
func (b *lobby) evict(g *guest) (unheard *guest) {
	if g.waits {
		unheard = g
	}
	g.evicted = true
	b.unlist(g)
	b.guests--
	_ = g.raw.Close()
	return unheard
}

// unlist takes a guest off the lists of those in their handshake. mu held.
func (b *lobby) unlist(g *guest) {
	if !g.shaking {
		return
	}
	g.shaking = false
	b.oldest.remove(g)
	same := b.sources[g.source]
	if same == nil {
		return
	}
	if g.waits {
		b.release(same, g)
	}
	if same.waiting.head == nil && same.timer != nil {
		same.timer.Stop()
		same.timer = nil
	}
	if same.all.remove(g); same.all.len == 0 {
		delete(b.sources, g.source)
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
