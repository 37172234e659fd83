package discoverytest

import (
	"bytes"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

var hostileCases = []testCase{
	{"InjectedIsHeard", injectedIsHeard},
	{"Forged", forged},
	{"Replayed", replayed},
	{"StaleGoodbye", staleGoodbye},
	{"ReplayedAfterGoodbye", replayedAfterGoodbye},
	{"OtherNetworkInjected", otherNetworkInjected},
	{"ExpiredInjected", expiredInjected},
	{"Garbage", garbage},
	{"Flood", flood},
}

// scene is a node that is watched, on a medium that takes injections.
func (r *run) scene() (id *identity, a discovery.Advertiser, d discovery.Discovery, w *watcher) {
	if r.Inject == nil {
		r.skip("Setup.Inject is not set")
	}
	d = r.node()
	w = r.browse(r.node())
	id, a = r.advertise(d)
	w.until(discovery.Found, id.last)
	return id, a, d, w
}

// unharmed checks that nothing came of what was injected, and that d is heard as before.
func (w *watcher) unharmed(id *identity, a discovery.Advertiser, d discovery.Discovery) {
	w.untilMarker(d)
	w.holds(id.last)
	id.update(a)
	w.until(discovery.Changed, id.last)
}

// injectedIsHeard shows that the other cases inject where nodes listen.
func injectedIsHeard(r *run) {
	r.obey(rule{"Discovery", "Only a record that [Open] accepted"})
	_, _, _, w := r.scene()
	id := r.identity()
	r.inject(id.sign(nil).Append(nil))
	w.until(discovery.Found, id.last)
}

func forged(r *run) {
	id, a, d, w := r.scene()
	r.obey(ruleSigned)
	for _, change := range []func(*discovery.Record){nil, goodbye} {
		raw := id.signAt(id.sequence+50, change).Append(nil)
		for _, at := range []int{1, len(raw) - 1, len(raw) / 2} {
			p := bytes.Clone(raw)
			p[at] ^= 0x40
			r.inject(p)
		}
		// Another's signature under the same words.
		other := r.identity()
		q := other.signAt(id.sequence+50, change).Append(nil)
		copy(q[1:33], id.last.ID[:])
		r.inject(q)
	}
	w.unharmed(id, a, d)
}

func replayed(r *run) {
	id, a, d, w := r.scene()
	old := id.last
	oldRaw := id.signAt(old.Sequence, nil).Append(nil)
	id.update(a)
	w.until(discovery.Changed, id.last)
	r.obey(ruleHigher)
	r.inject(oldRaw)
	r.inject(id.signAt(id.sequence-10, nil).Append(nil))
	r.inject(id.signAt(id.sequence, func(rec *discovery.Record) { rec.Addrs = rec.Addrs[:1] }).Append(nil))
	id.last = w.known[old.ID]
	w.unharmed(id, a, d)
}

func staleGoodbye(r *run) {
	id, a, d, w := r.scene()
	r.obey(ruleHigher)
	r.inject(id.signAt(id.sequence, goodbye).Append(nil))
	r.inject(id.signAt(id.sequence-1, goodbye).Append(nil))
	w.unharmed(id, a, d)
}

func replayedAfterGoodbye(r *run) {
	if r.NoGoodbye {
		r.skip("Setup.NoGoodbye is set")
	}
	id, a, d, w := r.scene()
	words := id.sign(nil)
	if err := a.Update(words); err != nil {
		r.fatalf("Update() = %v, want nil", err)
	}
	w.until(discovery.Changed, id.last)
	id.leave(a)
	w.until(discovery.Lost, id.last)
	r.obey(ruleHigher)
	r.inject(words.Append(nil))
	w.untilMarker(d)
	if rec, there := w.known[id.last.ID]; there {
		r.fatalf("there is %s after its goodbye, by a replay", describeRecord(rec))
	}
}

func otherNetworkInjected(r *run) {
	id, a, d, w := r.scene()
	r.obey(ruleSigned)
	r.inject(id.signAt(id.sequence+50, func(rec *discovery.Record) { rec.Network[7]++ }).Append(nil))
	stranger := r.identity()
	stranger.network = newNetwork()
	r.inject(stranger.sign(nil).Append(nil))
	w.unharmed(id, a, d)
}

func expiredInjected(r *run) {
	id, a, d, w := r.scene()
	r.obey(ruleSigned)
	past := func(rec *discovery.Record) { rec.Expires = time.Now().Add(-time.Hour) }
	r.inject(id.signAt(id.sequence+50, past).Append(nil))
	r.inject(id.signAt(id.sequence+50, func(rec *discovery.Record) { past(rec); goodbye(rec) }).Append(nil))
	r.inject(r.identity().sign(past).Append(nil))
	w.unharmed(id, a, d)
}

func garbage(r *run) {
	id, a, d, w := r.scene()
	r.obey(rule{"Discovery", "What a stranger sends costs bounded memory, processor time and traffic."})
	good := id.signAt(id.sequence+50, nil).Append(nil)
	for n := range len(good) {
		r.inject(good[:n])
	}
	for _, size := range []int{1, 2, 100, discovery.MaxSize, discovery.MaxSize + 1} {
		for _, b := range []byte{0, 1, 0x7f, 0xff} {
			r.inject(bytes.Repeat([]byte{b}, size))
		}
	}
	w.unharmed(id, a, d)
}

// flood is of strangers whose records look right, apart from the signature.
func flood(r *run) {
	id, a, _, w := r.scene()
	r.obey(rule{"Discovery", "What a stranger sends costs bounded memory, processor time and traffic."})
	who, final := id.last.ID, id.sequence+1
	reader := r.start(func() { // reads all the while, else a loss that is made good would not be seen
		for ev := w.next(); ev.Record.Sequence != final; ev = w.next() {
			if ev.Record.ID == who {
				r.fatalf("Next() = %s, during a flood of strangers", describeEvent(ev))
			}
		}
	})
	raw := r.identity().sign(nil).Append(nil)
	for i := range 2000 {
		stranger := kith.ID{byte(i), byte(i >> 8), 1}
		copy(raw[1:], stranger[:])
		r.inject(raw)
		if i%100 == 0 {
			r.letSettle()
		}
	}
	id.update(a) // and no newcomer: those may be turned away for a while
	reader.wait()
}
