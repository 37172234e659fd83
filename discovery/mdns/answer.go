package mdns

import (
	"net/netip"
	"slices"
	"time"
)

// A waiting is an answer by unicast that is not yet sent. The responder of hashicorp/mdns may take it over
// meanwhile.
type waiting struct {
	link linkKey
	to   netip.AddrPort
	*advert
	legacy *legacy
	due    time.Time
	direct bool // about one instance
}

// maxWaiting bounds the unicast answers under way. The buckets let fewer pass in the time that one waits.
const maxWaiting = 64

// takeOver is how long the responder has for a direct answer before we send it ourselves.
const takeOver = 20 * time.Millisecond

// answerQuestions sees to it that questions about us are answered. Whoever hears the group like an mDNS host, that
// is who asks from its port, gets the answer by multicast, so that all others learn from it; who does not, gets it by
// unicast.
func (e *engine) answerQuestions(now time.Time, l *link, m *message, in inbound) {
	byMulticast := in.from.Port() == mdnsPort
	for _, q := range m.questions {
		asked := q.label == label{}
		if asked {
			e.stats.QuestionsHeard++
		}
		if asked && byMulticast && !q.unicast { // else we do not hear the answers of others
			l.sawQuestion(now)
			e.deferAsk(now, l, false)
		}
		for _, a := range e.adverts {
			switch {
			case !asked && a.label != q.label:
			case !byMulticast || q.unicast:
				e.answerByUnicast(now, l, a, m.id, q, in.from)
			case asked:
				a.voices[l.linkKey].answer(now, minDelay+e.jitter(l.spread()), max(answerGap, l.spread()/2))
			default:
				a.voices[l.linkKey].reply(now)
			}
		}
	}
}

func (e *engine) answerByUnicast(now time.Time, l *link, a *advert, id uint16, q question, to netip.AddrPort) {
	w := waiting{link: l.linkKey, to: to, advert: a, direct: q.label != label{}}
	if to.Port() != mdnsPort {
		w.legacy = &legacy{id: id, question: q}
	}
	limit := &e.shared
	w.due = now.Add(minDelay + e.jitter(l.spread()))
	if w.direct {
		limit = &e.direct
		w.due = now.Add(e.patience())
	}
	if len(e.waiting) >= maxWaiting || !limit.take(now) {
		e.stats.Limited++
		return
	}
	e.waiting = append(e.waiting, w)
}

// patience is how long a direct answer is left to the responder.
func (e *engine) patience() time.Duration {
	if e.responder {
		return takeOver
	}
	return 0
}

// A reply is what a responder says of a node.
type reply struct {
	label label
	text  []string
	port  uint16
	addr  netip.Addr
}

// takeDirect hands over a direct answer to the responder, if there is one to be given about l. So it answers
// nobody but who asked us on the link, and no faster than we would.
func (e *engine) takeDirect(l label) (r reply, ok bool) {
	for i, w := range e.waiting {
		if w.direct && w.label == l {
			e.waiting = slices.Delete(e.waiting, i, i+1)
			if on := e.link(w.link); on != nil {
				r.addr = on.addr
			}
			r.label, r.text, r.port = w.label, w.text, w.port
			return r, true
		}
	}
	return reply{}, false
}

func (e *engine) sendUnicast(now time.Time, out []outbound) []outbound {
	rest := e.waiting[:0]
	for _, w := range e.waiting {
		l := e.link(w.link)
		switch {
		case l == nil:
		case now.Before(w.due):
			rest = append(rest, w)
		default:
			out = append(out, outbound{link: w.link, to: w.to, data: buildAnswer(w.advert, l.addr, ttlAnswer, w.legacy)})
		}
	}
	clear(e.waiting[len(rest):])
	e.waiting = rest
	return out
}

// Questions in a row when a link is new, or somebody begins to browse: the first may get lost, and whoever was asked
// before we listened does not speak again.
const quickAsks = 3

// maxFirst is how long the first question waits, so that nodes that start together, after a power cut, say,
// hear each other ask.
const maxFirst = 30 * time.Millisecond

// askSoon begins to ask on a link.
func (e *engine) askSoon(now time.Time, l *link) {
	l.quickAsks = quickAsks
	l.nextAsk = now.Add(e.jitter(maxFirst))
}

// deferAsk takes a question that was asked, by us or by somebody else, for the one due.
//
// But questions that only we hear bring no answers, and must not keep us from asking.
func (e *engine) deferAsk(now time.Time, l *link, ours bool) {
	unanswered := !l.lastAnswer.IsZero() && now.Sub(l.lastAnswer) >= 2*l.period()
	if !ours && unanswered {
		return
	}
	if l.quickAsks > 0 {
		l.quickAsks--
	}
	if l.quickAsks > 0 {
		gap := time.Second << (quickAsks - 1 - l.quickAsks)
		l.nextAsk = now.Add(gap + e.jitter(gap/4))
		return
	}
	l.nextAsk = now.Add(l.period() + e.jitter(l.period()/2))
}

// asksOn says whether we ask on l. Of an interface's two links one is enough: who is only on
// the other asks there, and is heard by us.
func (e *engine) asksOn(l *link) bool { return !l.v6 || e.link(linkKey{l.index, false}) == nil }

// ask adds the questions that are due. Who asks speaks, too: nobody else would ask it.
func (e *engine) ask(now time.Time, out []outbound) []outbound {
	if !e.active() {
		return out
	}
	for _, l := range e.links {
		if now.Before(l.nextAsk) || !e.asksOn(l) {
			continue
		}
		out = append(out, outbound{link: l.linkKey, data: buildQuestion(label{})})
		e.stats.QuestionsSent++
		l.sawQuestion(now)
		e.deferAsk(now, l, true)
		for _, a := range e.adverts {
			a.voices[l.linkKey].answer(now, minDelay+e.jitter(l.spread()), max(answerGap, l.spread()/2))
		}
	}
	return out
}
