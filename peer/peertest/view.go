package peertest

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A view is a network as a station sees it: a table, and the care for what it holds.
type view struct {
	s       *station
	network discovery.Tag
	table   *discovery.Table

	// Guarded by s.bus.mu.
	askedAt time.Time // when a question for the network was heard, or asked
	lastAt  time.Time // when any record was heard
	others  map[kith.ID]*other
	count   int // of others
}

// An other is a node that was heard.
type other struct {
	heardAt time.Time
	askedAt time.Time // when the first of probes was sent
	probes  int       // sent, while it is doubted; none if it is not
}

// How often a station asks, and what it makes of silence.
const (
	firstAsk     = 50 * time.Millisecond // the latest after Browse, and once more a second later
	secondAsk    = time.Second
	minPeriod    = 10 * time.Second // between questions, whoever asks; longer with each node
	maxPeriod    = 55 * time.Second
	periodEach   = 100 * time.Millisecond
	probeWait    = 400 * time.Millisecond
	probes       = 2
	doubtAfter   = 2.5 // periods of silence, while others are heard
	othersWithin = 1.5 // periods
)

func newView(s *station, network discovery.Tag) *view {
	v := &view{s: s, network: network, others: make(map[kith.ID]*other)}
	v.table = discovery.NewTable(discovery.TableConfig{Network: network, Suspect: v.suspect})
	return v
}

// put takes in a record of the station's own. It may be refused where it is old.
func (v *view) put(signed discovery.Signed) {
	if v != nil {
		_, _, _ = v.table.Put(signed.Append(nil), "")
	}
}

// drop takes out a record of the station's own.
func (v *view) drop(id kith.ID) {
	if v != nil {
		v.table.Drop(id)
	}
}

// heard takes in a record from the bus. What was sent before a probe ends no doubt.
func (v *view) heard(raw []byte, source string, at time.Time) {
	r, kind, err := v.table.Put(raw, source)
	if err != nil {
		return
	}
	v.s.bus.mu.Lock()
	defer v.s.bus.mu.Unlock()
	now := time.Now()
	v.lastAt = now
	if kind == discovery.Lost {
		delete(v.others, r.ID)
	} else if o := v.others[r.ID]; o != nil {
		o.heardAt = now
		if !at.Before(o.askedAt) {
			o.probes = 0
		}
	} else {
		v.others[r.ID] = &other{heardAt: now}
	}
	v.count = len(v.others)
}

// beginLocked asks twice, and then from time to time.
func (v *view) beginLocked() {
	first := time.Duration(v.s.rng.Int64N(int64(firstAsk)))
	v.s.bus.laterLocked(first, v.askFirst)
	v.s.bus.laterLocked(first+secondAsk, v.askAgain)
	v.s.bus.laterLocked(v.periodLocked(), v.tick)
}

// askFirst asks for itself: what others are told on asking may not be told again so soon.
func (v *view) askFirst() {
	v.s.bus.mu.Lock()
	defer v.s.bus.mu.Unlock()
	if !v.s.closed {
		v.askLocked(true)
	}
}

// askAgain asks, unless somebody has done so lately.
func (v *view) askAgain() {
	v.s.bus.mu.Lock()
	defer v.s.bus.mu.Unlock()
	if !v.s.closed && time.Since(v.askedAt) >= secondAsk/2 {
		v.askLocked(false)
	}
}

// askLocked asks all others. Who asks speaks, too: where one always asks first, nobody would ask it.
func (v *view) askLocked(fresh bool) {
	v.askedAt = time.Now()
	v.s.bus.sendLocked(v.s, packet{network: v.network, fresh: fresh}, nil)
	v.s.answerLocked(v.s, packet{network: v.network})
}

// periodLocked returns the time between questions. That of each station is a little different, so that
// one asks and the others have no need to.
func (v *view) periodLocked() time.Duration {
	p := v.roundLocked()
	return p + time.Duration(v.s.rng.Int64N(int64(p/4)))
}

func (v *view) roundLocked() time.Duration {
	return min(max(time.Duration(v.count)*periodEach, minPeriod), maxPeriod)
}

// tick asks if it is time to, and doubts who has been silent.
func (v *view) tick() {
	v.s.bus.mu.Lock()
	defer v.s.bus.mu.Unlock()
	if v.s.closed {
		return
	}
	now := time.Now()
	period := v.roundLocked()
	if now.Sub(v.askedAt) >= period {
		v.askLocked(false)
	}
	v.s.bus.laterLocked(max(v.periodLocked()-now.Sub(v.askedAt), time.Second), v.tick)
	if now.Sub(v.lastAt).Seconds() > othersWithin*period.Seconds() {
		return // it is rather this station that is cut off
	}
	for _, id := range slices.SortedFunc(maps.Keys(v.others), compareIDs) {
		if o := v.others[id]; now.Sub(o.heardAt).Seconds() > doubtAfter*period.Seconds() {
			v.doubtLocked(id, o)
		}
	}
}

func compareIDs(a, b kith.ID) int { return bytes.Compare(a[:], b[:]) }

// suspect doubts a node that could not be reached. The table calls it.
func (v *view) suspect(id kith.ID) {
	v.s.bus.mu.Lock()
	defer v.s.bus.mu.Unlock()
	if v.s.closed || slices.ContainsFunc(v.s.adverts, func(a *advert) bool { return a.said.Record().ID == id }) {
		return // it is here
	}
	o := v.others[id]
	if o == nil { // heard is about to enter it
		o = &other{heardAt: time.Now()}
		v.others[id] = o
		v.count = len(v.others)
	}
	v.doubtLocked(id, o)
}

// doubtLocked asks whether a node is there, unless that is being asked.
func (v *view) doubtLocked(id kith.ID, o *other) {
	if o.probes == 0 {
		o.askedAt = time.Now()
		v.probeLocked(id, o)
	}
}

func (v *view) probeLocked(id kith.ID, o *other) {
	o.probes++
	sent := o.probes
	v.s.bus.sendLocked(v.s, packet{network: v.network, id: id}, nil)
	v.s.bus.laterLocked(probeWait, func() { v.unanswered(id, o, sent) })
}

// unanswered goes on where a probe had no answer: with another one, or without the node.
func (v *view) unanswered(id kith.ID, o *other, sent int) {
	v.s.bus.mu.Lock()
	if v.s.closed || v.others[id] != o || o.probes != sent {
		v.s.bus.mu.Unlock()
		return
	}
	if sent < probes {
		v.probeLocked(id, o)
		v.s.bus.mu.Unlock()
		return
	}
	delete(v.others, id)
	v.count = len(v.others)
	v.s.bus.mu.Unlock()
	v.table.Drop(id)
}
