package mdns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// An advert is a node that we speak for.
type advert struct {
	signed discovery.Signed
	label  label
	text   []string
	port   uint16
	voices map[linkKey]*voice
}

// A voice is when an advert speaks on one link.
type voice struct {
	due   time.Time // when to say the record next; zero for not at all
	more  int       // how many more times to announce it after that
	spoke time.Time // when it was said last

	// When it was last said because somebody asked who is there, or will be.
	answered time.Time
}

// How often an advert may speak on a link.
const (
	announcements  = 2
	announceGap    = time.Second            // from the first announcement to the second
	announceSpread = 250 * time.Millisecond // added to it at random, for nodes that start together
	updateGap      = 100 * time.Millisecond // between announcements of different records
	answerGap      = time.Second            // between answers to the question who is there
	probeGap       = 250 * time.Millisecond // between answers to questions about this instance
)

var (
	errGoodbye   = errors.New("mdns: the record has no addresses: it says goodbye")
	errTwice     = errors.New("mdns: this ID is advertised already")
	errNotSigned = errors.New("mdns: the record is not signed")
)

// advertise begins to speak for a node.
func (e *engine) advertise(now time.Time, s discovery.Signed) error {
	a := &advert{label: labelOf(s.Record().ID), voices: make(map[linkKey]*voice)}
	switch {
	case s.IsZero():
		return errNotSigned
	case s.Record().IsGoodbye():
		return errGoodbye
	case e.advert(a.label) != nil:
		return errTwice
	}
	e.adverts = append(e.adverts, a)
	e.say(now, a, s)
	return nil
}

// update replaces what is said of a node.
func (e *engine) update(now time.Time, id kith.ID, s discovery.Signed) error {
	a := e.advert(labelOf(id))
	switch {
	case s.IsZero():
		return errNotSigned
	case s.Record().IsGoodbye():
		return errGoodbye
	}
	if err := a.follows(s.Record()); err != nil {
		return fmt.Errorf("mdns: update: %w", err)
	}
	e.say(now, a, s)
	return nil
}

// follows says whether r can come after what a says.
func (a *advert) follows(r discovery.Record) error {
	was := a.signed.Record()
	switch {
	case r.ID != was.ID:
		return fmt.Errorf("record of %s, want %s", r.ID.Short(), was.ID.Short())
	case r.Network != was.Network:
		return discovery.ErrNetwork
	case r.Sequence <= was.Sequence:
		return fmt.Errorf("%w: sequence %d after %d", discovery.ErrStale, r.Sequence, was.Sequence)
	}
	return nil
}

// say makes s what a says, and announces it.
func (e *engine) say(now time.Time, a *advert, s discovery.Signed) {
	a.signed, a.text, a.port = s, textOf(s), portOf(s.Record())
	for _, l := range e.links {
		a.announce(now, l.linkKey)
	}
	if v := e.views[s.Record().Network]; v != nil {
		v.takeOwn(s)
	}
}

// announce has the record said twice, the first time as soon as that is allowed.
func (a *advert) announce(now time.Time, key linkKey) {
	v := a.voices[key]
	if v == nil {
		v = new(voice)
		a.voices[key] = v
	}
	v.more = announcements - 1
	v.speak(now, v.spoke.Add(updateGap))
}

// speak has the record said at a time, or when it would be anyway if that is sooner.
func (v *voice) speak(now, at time.Time) {
	if at.Before(now) {
		at = now
	}
	if v.due.IsZero() || at.Before(v.due) {
		v.due = at
	}
}

// answer has the record said after a delay because somebody asked who is there, but not sooner than gap after the
// last answer to that. Announcements do not count: those who begin to listen just after one would wait.
func (v *voice) answer(now time.Time, delay, gap time.Duration) {
	at := now.Add(delay)
	if soonest := v.answered.Add(gap); at.Before(soonest) {
		at = soonest
	}
	if v.answered.After(now) {
		return // there is one to come
	}
	v.answered = at
	v.speak(now, at)
}

// reply has the record said because somebody asked whether this node is there.
func (v *voice) reply(now time.Time) { v.speak(now, v.spoke.Add(probeGap)) }

// sendAnswers adds what adverts have to say.
func (e *engine) sendAnswers(now time.Time, out []outbound) []outbound {
	for _, a := range e.adverts {
		for _, l := range e.links {
			v := a.voices[l.linkKey]
			if v.due.IsZero() || now.Before(v.due) {
				continue
			}
			out = append(out, outbound{link: l.linkKey, data: buildAnswer(a, l.addr, ttlAnswer, nil)})
			v.spoke, v.due = now, time.Time{}
			if v.more > 0 {
				v.more--
				v.due = now.Add(announceGap + e.jitter(announceSpread))
			}
		}
	}
	return out
}

// A farewell is a goodbye on its way.
type farewell struct {
	*advert
	due  time.Time
	more int // times to say it after that
}

// Goodbyes are said again for who missed the first. Those of many nodes that leave at once are kept within bounds.
const (
	farewellGap  = 250 * time.Millisecond
	maxFarewells = 64
)

// withdraw ends what was begun with advertise. goodbye may be zero.
func (e *engine) withdraw(now time.Time, was, goodbye discovery.Signed) error {
	r := was.Record()
	a := e.advert(labelOf(r.ID))
	e.adverts = slices.DeleteFunc(e.adverts, func(o *advert) bool { return o == a })
	e.waiting = slices.DeleteFunc(e.waiting, func(w waiting) bool { return w.advert == a })
	view := e.views[r.Network]
	err := a.checkGoodbye(goodbye)
	if goodbye.IsZero() || err != nil {
		if view != nil {
			view.table.Drop(r.ID)
		}
		return err
	}
	if view != nil {
		view.takeOwn(goodbye)
	}
	bye := &advert{signed: goodbye, label: a.label, text: textOf(goodbye), port: a.port}
	if len(e.farewells) == maxFarewells {
		e.farewells = append(e.farewells[:0], e.farewells[1:]...)
	}
	e.farewells = append(e.farewells, farewell{advert: bye, due: now, more: 1})
	return nil
}

func (a *advert) checkGoodbye(s discovery.Signed) error {
	if s.IsZero() {
		return nil
	}
	if !s.Record().IsGoodbye() {
		return errors.New("mdns: goodbye: the record has addresses")
	}
	if err := a.follows(s.Record()); err != nil {
		return fmt.Errorf("mdns: goodbye: %w", err)
	}
	return nil
}

func (e *engine) sendFarewells(now time.Time, out []outbound) []outbound {
	rest := e.farewells[:0]
	for _, f := range e.farewells {
		if !now.Before(f.due) {
			for _, l := range e.links {
				out = append(out, outbound{link: l.linkKey, data: buildAnswer(f.advert, netip.Addr{}, 0, nil)})
			}
			if f.more == 0 {
				continue
			}
			f.more--
			f.due = now.Add(farewellGap)
		}
		rest = append(rest, f)
	}
	clear(e.farewells[len(rest):])
	e.farewells = rest
	return out
}

// hurryFarewells lets what is left of goodbyes be said with the next tick.
func (e *engine) hurryFarewells() {
	for i := range e.farewells {
		e.farewells[i].due = time.Time{}
	}
}
