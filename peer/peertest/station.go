package peertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith/discovery"
)

// A station is a Discovery on the bus.
type station struct {
	bus  *bus
	node string

	// Guarded by bus.mu.
	rng      *rand.Rand
	closed   bool
	silent   bool // neither hears nor is heard
	views    map[discovery.Tag]*view
	adverts  []*advert
	direct   int // answers to one alone, since directAt
	directAt time.Time
}

var errNothing = errors.New("nothing to advertise: the record is zero, or a goodbye")

// Advertise implements [discovery.Discovery].
func (s *station) Advertise(ctx context.Context, signed discovery.Signed) (discovery.Advertiser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if signed.IsZero() || signed.Record().IsGoodbye() {
		return nil, errNothing
	}
	a := &advert{s: s}
	s.bus.mu.Lock()
	if s.closed {
		s.bus.mu.Unlock()
		return nil, discovery.ErrClosed
	}
	s.adverts = append(s.adverts, a)
	own := a.sayLocked(signed)
	s.bus.mu.Unlock()
	own.put(signed)
	return a, nil
}

// Browse implements [discovery.Discovery].
func (s *station) Browse(ctx context.Context, network discovery.Tag) (discovery.Browser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.bus.mu.Lock()
	if s.closed {
		s.bus.mu.Unlock()
		return nil, discovery.ErrClosed
	}
	v := s.views[network]
	var own []discovery.Signed
	if v == nil {
		v = newView(s, network)
		s.views[network] = v
		for _, a := range s.adverts {
			if a.said.Record().Network == network {
				own = append(own, a.said)
			}
		}
		v.beginLocked()
	}
	s.bus.mu.Unlock()
	for _, signed := range own {
		v.put(signed)
	}
	return v.table.Browse(), nil
}

// Close implements [discovery.Discovery].
func (s *station) Close() error {
	s.bus.remove(s)
	s.bus.mu.Lock()
	s.closed, s.silent = true, true
	views := s.views
	s.views, s.adverts = nil, nil
	s.bus.mu.Unlock()
	for _, v := range views {
		v.table.Close()
	}
	return nil
}

// silence makes the station deaf and dumb, as its host is gone.
func (s *station) silence() {
	if s == nil {
		return
	}
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.silent = true
}

// hear takes in a packet that was sent at a time. It is called by the bus's goroutine only.
func (s *station) hear(from *station, p packet, at time.Time) {
	s.bus.mu.Lock()
	v := s.views[p.network]
	if s.silent {
		v = nil
	} else if p.raw == nil {
		s.answerLocked(from, p)
		if v != nil && p.id.IsZero() {
			v.askedAt = time.Now()
		}
	}
	s.bus.mu.Unlock()
	if v != nil && p.raw != nil {
		v.heard(p.raw, from.node, at)
	}
}

// The times of multicast DNS, as package discovery/mdns has them.
const (
	announceAgain = time.Second            // the second announcement after the first
	answerGap     = time.Second            // between two answers of one record
	answerFirst   = 20 * time.Millisecond  // the soonest that a question is answered
	answerSpread  = 120 * time.Millisecond // over how long answers are spread, at least
	answerEach    = 5 * time.Millisecond   // for each node, if that is longer
	maxDirect     = 16                     // answers to one alone, in a second
)

// answerLocked answers a question for the station's own records.
func (s *station) answerLocked(from *station, p packet) {
	for _, a := range s.adverts {
		r := a.said.Record()
		switch {
		case r.Network != p.network:
		case r.ID == p.id:
			s.bus.sendLocked(s, a.packet(), from)
		case !p.id.IsZero():
		case p.fresh && time.Since(a.saidAt) < answerGap && s.mayAnswerLocked():
			// It is too early to tell all again, and the asker may have come too late for the last time.
			s.bus.laterLocked(s.delayLocked(p.network), func() { a.answerTo(from) })
		case !a.answering:
			a.answering = true
			s.bus.laterLocked(max(s.delayLocked(p.network), time.Until(a.saidAt.Add(answerGap))), a.answer)
		}
	}
}

// mayAnswerLocked bounds the answers to one alone.
func (s *station) mayAnswerLocked() bool {
	if now := time.Now(); now.Sub(s.directAt) >= time.Second {
		s.direct, s.directAt = 0, now
	}
	s.direct++
	return s.direct <= maxDirect
}

// delayLocked draws when to answer a question that everybody answers.
func (s *station) delayLocked(network discovery.Tag) time.Duration {
	return answerFirst + time.Duration(s.rng.Int64N(int64(s.spreadLocked(network))))
}

func (s *station) spreadLocked(network discovery.Tag) time.Duration {
	if v := s.views[network]; v != nil {
		return max(answerSpread, time.Duration(v.count)*answerEach)
	}
	return answerSpread
}

// An advert is an Advertiser.
type advert struct {
	s    *station
	once sync.Once

	// Guarded by s.bus.mu.
	said      discovery.Signed
	saidAt    time.Time
	answering bool // an answer is on the agenda
	closed    bool
}

func (a *advert) packet() packet {
	return packet{raw: a.said.Append(nil), network: a.said.Record().Network}
}

// sayLocked announces a record, twice. It returns the station's own view, which is to hear it too.
func (a *advert) sayLocked(signed discovery.Signed) *view {
	a.said, a.saidAt = signed, time.Now()
	sequence := signed.Record().Sequence
	a.s.bus.sendLocked(a.s, a.packet(), nil)
	a.s.bus.laterLocked(announceAgain, func() {
		a.s.bus.mu.Lock()
		defer a.s.bus.mu.Unlock()
		if !a.closed && a.said.Record().Sequence == sequence {
			a.repeatLocked()
		}
	})
	return a.s.views[signed.Record().Network]
}

// answer says the record once more.
func (a *advert) answer() {
	a.s.bus.mu.Lock()
	defer a.s.bus.mu.Unlock()
	if a.answering && !a.closed {
		a.repeatLocked()
	}
}

func (a *advert) answerTo(one *station) {
	a.s.bus.mu.Lock()
	defer a.s.bus.mu.Unlock()
	if !a.closed {
		a.s.bus.sendLocked(a.s, a.packet(), one)
	}
}

func (a *advert) repeatLocked() {
	a.answering, a.saidAt = false, time.Now()
	a.s.bus.sendLocked(a.s, a.packet(), nil)
}

// Update implements [discovery.Advertiser].
func (a *advert) Update(signed discovery.Signed) error {
	a.s.bus.mu.Lock()
	if a.closed || a.s.closed {
		a.s.bus.mu.Unlock()
		return discovery.ErrClosed
	}
	was, is := a.said.Record(), signed.Record()
	if is.ID != was.ID || is.Network != was.Network || is.Sequence <= was.Sequence {
		a.s.bus.mu.Unlock()
		return fmt.Errorf("not an update: %v of network %v, sequence %d, after %v of %v, %d",
			is.ID.Short(), is.Network, is.Sequence, was.ID.Short(), was.Network, was.Sequence)
	}
	own := a.sayLocked(signed)
	a.s.bus.mu.Unlock()
	own.put(signed)
	return nil
}

// Close implements [discovery.Advertiser].
func (a *advert) Close(goodbye discovery.Signed) error {
	a.once.Do(func() { a.close(goodbye) })
	return nil
}

func (a *advert) close(goodbye discovery.Signed) {
	a.s.bus.mu.Lock()
	network, id := a.said.Record().Network, a.said.Record().ID
	a.closed = true
	a.s.adverts = slices.DeleteFunc(a.s.adverts, func(o *advert) bool { return o == a })
	if !goodbye.IsZero() {
		a.said = goodbye
		a.s.bus.sendLocked(a.s, a.packet(), nil)
	}
	own := a.s.views[network]
	a.s.bus.mu.Unlock()
	if goodbye.IsZero() {
		own.drop(id)
	} else {
		own.put(goodbye)
	}
}
