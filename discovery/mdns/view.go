package mdns

import (
	"bytes"
	"slices"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A view is one network that is browsed.
type view struct {
	table    *discovery.Table
	peers    map[kith.ID]*peer // of whom the table holds a record
	browsers int
}

// A peer is a node that was heard.
type peer struct {
	view  *view
	id    kith.ID
	heard time.Time
	link  linkKey // by which it was heard last

	// While it is doubted whether it is there.
	suspected bool      // by who could not reach it
	doubted   bool      // is one of engine.probing
	asked     time.Time // when it was last begun to ask it
	probes    int       // sent so far
	probeAt   time.Time // when to send the next, or to give up
}

// How who is doubted is asked, and how many at a time.
const (
	probes     = 2
	probeWait  = 400 * time.Millisecond
	maxProbing = 64
	doubtGap   = time.Second // between doubts of one peer
)

// How long silence lasts until a peer is doubted: in periods where others were heard meanwhile; else it is
// rather we who are cut off.
const (
	silentPeriods = 2.5
	silentAlone   = ttlAnswer * time.Second
	sweepEvery    = time.Second
)

// browse returns the view of a network, and makes one if need be.
func (e *engine) browse(now time.Time, network discovery.Tag, suspect func(kith.ID)) *view {
	v := e.views[network]
	if v == nil {
		cfg := e.table
		cfg.Network, cfg.Suspect = network, suspect
		v = &view{table: discovery.NewTable(cfg), peers: make(map[kith.ID]*peer)}
		e.views[network] = v
		for _, a := range e.adverts {
			v.takeOwn(a.signed)
		}
	}
	v.browsers++
	for _, l := range e.links {
		if l.quickAsks == 0 && now.Sub(l.lastQuestion) >= time.Second {
			e.askSoon(now, l)
		}
	}
	return v
}

// leave takes back one browse.
func (e *engine) leave(network discovery.Tag, v *view) {
	if v.browsers--; v.browsers > 0 || e.views[network] != v {
		return
	}
	v.table.Close()
	e.probing = slices.DeleteFunc(e.probing, func(p *peer) bool { return p.view == v })
	delete(e.views, network)
}

// takeOwn puts in a record of ours. It is refused where it is of another network, which is right, or where the
// table is full of others.
func (v *view) takeOwn(s discovery.Signed) { _, _, _ = v.table.Put(s.Append(nil), "") }

// accept takes in an answer that was heard from a neighbour.
func (e *engine) accept(now time.Time, l *link, a answer, source string) {
	r, err := discovery.Peek(a.raw)
	switch {
	case err != nil, labelOf(r.ID) != a.label:
		e.stats.Refused++
		return
	case e.advert(a.label) != nil:
		e.meetTwin(now, r, a.raw)
		return
	}
	l.heard++
	e.stats.LastHeard = now
	if !r.IsGoodbye() && (a.ttl == 0 || !e.reachable(r)) {
		e.stats.Refused++
		return
	}
	if v := e.views[r.Network]; v != nil {
		v.put(e, now, l, a.raw, source)
	}
}

// reachable says whether a record has an address that a neighbour can have.
func (e *engine) reachable(r discovery.Record) bool {
	for _, a := range r.Addrs {
		if nearby(a, e.links) {
			return true
		}
	}
	return false
}

// put hands a record to the table, and notes that its node spoke.
func (v *view) put(e *engine, now time.Time, l *link, raw []byte, source string) {
	r, kind, err := v.table.Put(raw, source)
	if err != nil {
		e.stats.Refused++
		return
	}
	if kind == discovery.Lost {
		e.forget(v, r.ID)
		return
	}
	p := v.peers[r.ID]
	if p == nil {
		p = &peer{view: v, id: r.ID}
		v.peers[r.ID] = p
		if e.sweepAt.IsZero() {
			e.sweepAt = now.Add(sweepEvery)
		}
	}
	p.heard, p.link = now, l.linkKey
	l.lastAnswer = now
	e.believe(p)
}

// meetTwin looks at a record with an ID of ours that is not what we say. A later one that is signed comes from
// another process with the same key.
func (e *engine) meetTwin(now time.Time, r discovery.Record, raw []byte) {
	if r.Sequence <= e.advert(labelOf(r.ID)).signed.Record().Sequence || !e.twins.take(now) {
		return
	}
	if _, err := discovery.Open(raw); err == nil {
		e.notes = append(e.notes, note{r})
	}
}

// forget drops what is known of a node that left.
func (e *engine) forget(v *view, id kith.ID) {
	if p := v.peers[id]; p != nil {
		e.believe(p)
		delete(v.peers, id)
	}
}

// suspect notes that somebody could not reach a node.
func (e *engine) suspect(now time.Time, network discovery.Tag, id kith.ID) {
	v := e.views[network]
	if v == nil || v.peers[id] == nil || len(e.links) == 0 {
		return // ours, gone, or nobody can be asked
	}
	p := v.peers[id]
	if !e.doubt(now, p) {
		p.suspected = true
	}
}

// doubt begins to ask whether p is there, unless too many are asked already.
func (e *engine) doubt(now time.Time, p *peer) bool {
	if p.doubted {
		return true
	}
	if len(e.probing) >= maxProbing || now.Sub(p.asked) < doubtGap {
		return false
	}
	p.doubted, p.asked, p.probes, p.probeAt, p.suspected = true, now, 0, now, false
	e.probing = append(e.probing, p)
	return true
}

// believe ends all doubts, as p was heard.
func (e *engine) believe(p *peer) {
	p.suspected = false
	if p.doubted {
		p.doubted = false
		e.probing = slices.DeleteFunc(e.probing, func(o *peer) bool { return o == p })
	}
}

// sweep looks for who was not heard for too long.
func (e *engine) sweep(now time.Time) {
	if e.sweepAt.IsZero() || now.Before(e.sweepAt) {
		return
	}
	e.sweepAt = time.Time{}
	var doubtful []*peer
	for _, v := range e.views {
		for id, p := range v.peers {
			if _, held := v.table.Get(id); !held {
				e.forget(v, id) // its record expired
				continue
			}
			if p.suspected || e.silent(now, p) {
				doubtful = append(doubtful, p)
			}
			e.sweepAt = now.Add(sweepEvery)
		}
	}
	slices.SortFunc(doubtful, func(a, b *peer) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, p := range doubtful {
		e.doubt(now, p)
	}
}

func (e *engine) silent(now time.Time, p *peer) bool {
	silence := now.Sub(p.heard)
	if silence < time.Duration(silentPeriods*float64(minPeriod)) {
		return false
	}
	l := e.link(p.link)
	if l == nil {
		return silence >= silentAlone
	}
	period := l.period()
	othersSpoke := now.Sub(l.lastAnswer) < 3*period/2 // within the present round or the one before
	return othersSpoke && silence >= time.Duration(silentPeriods*float64(period)) || silence >= silentAlone+period
}

// probe adds the questions to those who are doubted, and gives up who did not answer.
func (e *engine) probe(now time.Time, out []outbound) []outbound {
	for _, p := range slices.Clone(e.probing) {
		if now.Before(p.probeAt) {
			continue
		}
		if p.probes == probes {
			e.forget(p.view, p.id)
			p.view.table.Drop(p.id)
			continue
		}
		p.probes++
		p.probeAt = now.Add(probeWait)
		data := buildQuestion(labelOf(p.id))
		for _, l := range e.links {
			if l.linkKey == p.link || e.link(p.link) == nil || p.probes == probes {
				out = append(out, outbound{link: l.linkKey, data: data, probe: p.id})
				e.stats.Probes++
			}
		}
	}
	return out
}

// vouch takes in what the node with this ID said in answer to a probe that the medium made.
func (e *engine) vouch(now time.Time, id kith.ID, raw []byte) {
	i := slices.IndexFunc(e.probing, func(p *peer) bool { return p.id == id })
	if i < 0 {
		return
	}
	p := e.probing[i]
	l := e.link(p.link)
	if r, err := discovery.Peek(raw); err != nil || r.ID != id || l == nil || r.IsGoodbye() {
		return
	}
	p.view.put(e, now, l, raw, "probe")
}
