package mdns

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A linkKey names a link: one address family on one interface.
type linkKey struct {
	index int // of the interface
	v6    bool
}

// A linkInfo is what a medium tells of a link. It is not changed after it was told.
type linkInfo struct {
	linkKey
	name     string // of the interface
	addr     netip.Addr
	prefixes []netip.Prefix // what is on the link
	opened   int            // how often it was, for a link that is opened again is a new one
}

// same says whether nothing has changed that concerns us.
func (l linkInfo) same(o linkInfo) bool {
	if l.linkKey != o.linkKey || l.name != o.name || l.addr != o.addr || l.opened != o.opened {
		return false
	}
	return slices.Equal(l.prefixes, o.prefixes)
}

// onLink says whether a packet from a can have been sent by a neighbour.
func (l linkInfo) onLink(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() != l.v6 {
		return false
	}
	if a.IsLinkLocalUnicast() {
		return true
	}
	for _, p := range l.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// A link is what the engine knows of one.
type link struct {
	linkInfo

	nextAsk      time.Time // when to ask who is there, unless somebody else does
	quickAsks    int       // how many of the questions at the beginning are still to be asked
	lastQuestion time.Time // asked by us or heard
	lastAnswer   time.Time // that brought a record we know
	heard        int       // answers since the last question
	census       int       // answers between the two questions before
}

// maxCensus bounds how many nodes we take a link to have, and so how far a liar can slow us down.
const maxCensus = 1000

// size is how many nodes the link has, as far as we have heard: who was asked has answered once.
func (l *link) size() int { return min(max(l.heard, l.census), maxCensus) }

// sawQuestion notes that the nodes of the link have been asked, and will answer.
func (l *link) sawQuestion(now time.Time) {
	// Questions at the beginning and those of newcomers come in quick succession; the census is of those
	// that all had the time to answer.
	if now.Sub(l.lastQuestion) >= l.spread() {
		l.census, l.heard = l.heard, 0
	}
	l.lastQuestion = now
}

// Bounds of what the number of nodes on a link decides.
const (
	minDelay  = 20 * time.Millisecond
	minSpread = 120 * time.Millisecond
	perNode   = 5 * time.Millisecond
	minPeriod = 10 * time.Second
	maxPeriod = 55 * time.Second
)

// spread is over how long the answers to one question are spread: so many small packets at once that a
// receiver can take them.
func (l *link) spread() time.Duration { return max(minSpread, time.Duration(l.size())*perNode) }

// period is how long after a question the next is asked.
func (l *link) period() time.Duration {
	return min(max(time.Duration(l.size())*100*time.Millisecond, minPeriod), maxPeriod)
}

// carrierGrade is RFC 6598: addresses of providers, and of many overlay networks, which are not routed either.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// nearby says whether an address in a record is one that a neighbour can have: private, or on one of our links. A
// record that has none is somebody's attempt to send us elsewhere.
func nearby(addr string, links []*link) bool {
	_, host, _ := strings.Cut(addr, "://")
	host, _, _ = strings.Cut(host, "/")
	ap, err := netip.ParseAddrPort(host)
	if err != nil {
		return false // a name, too: to look it up would tell others, and lead anywhere
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || carrierGrade.Contains(a) {
		return true
	}
	for _, l := range links {
		if l.onLink(a) {
			return true
		}
	}
	return false
}
