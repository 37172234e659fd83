package mdns

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// An engine decides what to send and when, and what of what it hears to believe. It knows nothing of sockets
// and keeps no clock: it is told what came, and asked at times what is to go out. Its methods are not
// safe for concurrent use.
type engine struct {
	table discovery.TableConfig // what the tables of all views begin with
	rng   *rand.Rand

	links     []*link   // in the medium's order
	adverts   []*advert // in the order they came
	farewells []farewell
	views     map[discovery.Tag]*view
	sweepAt   time.Time // when to look for who is silent; zero if nobody is known
	probing   []*peer   // who is asked whether it is there
	waiting   []waiting // unicast answers
	responder bool      // another responder takes over direct answers; see takeDirect

	direct bucket // unicast answers about one instance
	shared bucket // unicast answers to the question who is there
	twins  bucket // warnings about others with our identity

	notes []note // to be logged; at most one a minute, by twins
	stats Stats
}

// A note is a record of another process with an identity of ours.
type note struct{ discovery.Record }

// close lets go of everything.
func (e *engine) close() {
	for _, v := range e.views {
		v.table.Close()
	}
	e.adverts, e.views, e.probing, e.links = nil, nil, nil, nil
}

// An inbound is a packet that came.
type inbound struct {
	from  netip.AddrPort
	index int // of the interface; 0 if the platform does not say
	ttl   int // or hop limit; unknownTTL if the platform does not say
}

const unknownTTL = -1

// An outbound is a packet to be sent.
type outbound struct {
	link linkKey
	to   netip.AddrPort // invalid: the multicast group
	data []byte

	// probe is set if data asks whether this node is still there. The medium may ask in another way,
	// and then reports with engine.vouch what it heard.
	probe kith.ID
}

// mdnsPort is where mDNS hosts send from, and to.
const mdnsPort = 5353

func newEngine(table discovery.TableConfig, rng *rand.Rand) *engine {
	return &engine{
		table:  table,
		rng:    rng,
		views:  make(map[discovery.Tag]*view),
		direct: bucket{burst: 10, interval: 10 * time.Millisecond},
		shared: bucket{burst: 3, interval: 500 * time.Millisecond},
		twins:  bucket{burst: 1, interval: time.Minute},
	}
}

// setLinks says which links there are now. On those that are new or changed we announce ourselves and
// ask.
func (e *engine) setLinks(now time.Time, infos []linkInfo) {
	links := make([]*link, 0, len(infos))
	var fresh []linkKey
	for _, info := range infos {
		l := e.link(info.linkKey)
		if l == nil || !l.same(info) {
			l = &link{linkInfo: info}
			fresh = append(fresh, l.linkKey)
			e.askSoon(now, l)
		}
		links = append(links, l)
	}
	e.links = links
	for _, a := range e.adverts {
		maps.DeleteFunc(a.voices, func(key linkKey, _ *voice) bool { return e.link(key) == nil })
		for _, key := range fresh {
			a.announce(now, key)
		}
	}
}

// link returns a link, or nil.
func (e *engine) link(key linkKey) *link {
	for _, l := range e.links {
		if l.linkKey == key {
			return l
		}
	}
	return nil
}

// advert returns who we speak for under a label, or nil.
func (e *engine) advert(l label) *advert {
	for _, a := range e.adverts {
		if a.label == l {
			return a
		}
	}
	return nil
}

// receive takes in a message that came.
func (e *engine) receive(now time.Time, m *message, in inbound) {
	l := e.linkOf(in)
	if l == nil || !l.onLink(in.from.Addr()) {
		e.stats.Refused++
		return
	}
	if !m.response {
		e.answerQuestions(now, l, m, in)
		return
	}
	if in.from.Port() != mdnsPort || (in.ttl != 255 && in.ttl != unknownTTL) {
		e.stats.Refused++
		return
	}
	for _, a := range m.answers {
		e.accept(now, l, a, in.from.Addr().WithZone("").String())
	}
}

// linkOf returns the link that a packet came by. Where the platform does not name the interface, the sender's
// address does.
func (e *engine) linkOf(in inbound) *link {
	v6 := in.from.Addr().Unmap().Is6()
	if in.index != 0 {
		return e.link(linkKey{in.index, v6})
	}
	for _, l := range e.links {
		if l.v6 == v6 && l.onLink(in.from.Addr()) {
			return l
		}
	}
	return nil
}

// tick returns what is to be sent by now.
func (e *engine) tick(now time.Time) []outbound {
	var out []outbound
	out = e.sendFarewells(now, out)
	out = e.sendAnswers(now, out)
	out = e.sendUnicast(now, out)
	out = e.ask(now, out)
	e.sweep(now)
	out = e.probe(now, out)
	for _, o := range out {
		e.stats.PacketsSent++
		e.stats.BytesSent += uint64(len(o.data))
	}
	return out
}

// next returns when tick has something to do again, or zero for never.
func (e *engine) next() time.Time {
	at := e.sweepAt
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, f := range e.farewells {
		sooner(f.due)
	}
	for _, a := range e.adverts {
		for _, v := range a.voices {
			sooner(v.due)
		}
	}
	for _, w := range e.waiting {
		sooner(w.due)
	}
	if e.active() {
		for _, l := range e.links {
			if e.asksOn(l) {
				sooner(l.nextAsk)
			}
		}
	}
	for _, p := range e.probing {
		sooner(p.probeAt)
	}
	return at
}

// active says whether somebody uses us.
func (e *engine) active() bool { return len(e.adverts) > 0 || len(e.views) > 0 }

// jitter returns a random part of d.
func (e *engine) jitter(d time.Duration) time.Duration { return time.Duration(e.rng.Int64N(int64(d))) }
