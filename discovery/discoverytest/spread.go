package discoverytest

import (
	"context"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

var spreadCases = []testCase{
	{"Found", found},
	{"FoundByLateBrowser", foundLate},
	{"BothWays", bothWays},
	{"OwnRecord", ownRecord},
	{"SeveralAdvertisers", severalAdvertisers},
	{"Changed", changed},
	{"UpdateRefused", updateRefused},
	{"Goodbye", lostByGoodbye},
	{"FoundAgain", foundAgain},
	{"OtherNetwork", otherNetwork},
	{"Expired", expired},
	{"CtxEndsOnlyTheCall", ctxEndsOnlyTheCall},
}

var (
	ruleAdvertise = rule{"Discovery.Advertise", "Advertise makes s known to others until the Advertiser is closed."}
	ruleKnown     = rule{"Discovery.Browse", "starting with those already known"}
	ruleUpdate    = rule{"Advertiser.Update", "Update replaces the record."}
	ruleLost      = rule{"Advertiser.Close", "Close says goodbye where the medium can"}
)

func found(r *run) {
	r.obey(ruleAdvertise)
	w := r.browse(r.node())
	id, _ := r.advertise(r.node())
	w.until(discovery.Found, id.last)
}

func foundLate(r *run) {
	r.obey(ruleAdvertise)
	d := r.node()
	id, _ := r.advertise(d)
	near := r.node()
	r.browse(near).until(discovery.Found, id.last)
	r.obey(ruleKnown)
	r.browse(near).until(discovery.Found, id.last)
	r.browse(r.node()).until(discovery.Found, id.last) // a newcomer
}

func bothWays(r *run) {
	r.obey(ruleAdvertise)
	d1, d2 := r.node(), r.node()
	w1, w2 := r.browse(d1), r.browse(d2)
	id1, _ := r.advertise(d1)
	id2, _ := r.advertise(d2)
	w1.until(discovery.Found, id2.last)
	w2.until(discovery.Found, id1.last)
}

func ownRecord(r *run) {
	r.obey(rule{"Discovery", "A Browser reports every node of its network, those too that are advertised through the same Discovery"})
	d := r.node()
	before := r.browse(d)
	id, a := r.advertise(d)
	before.until(discovery.Found, id.last)
	r.browse(d).until(discovery.Found, id.last)
	id.update(a)
	before.until(discovery.Changed, id.last)
	if !r.NoGoodbye {
		id.leave(a)
		before.until(discovery.Lost, id.last)
	}
}

// severalAdvertisers are of one process.
func severalAdvertisers(r *run) {
	r.obey(ruleAdvertise)
	d, far := r.node(), r.node()
	w := r.browse(far)
	id1, a1 := r.advertise(d)
	id2, a2 := r.advertise(d)
	w.untilAt(id1.last)
	w.untilAt(id2.last)
	id1.update(a1)
	w.until(discovery.Changed, id1.last)
	if !r.NoGoodbye {
		id1.leave(a1)
		w.until(discovery.Lost, id1.last)
	}
	id2.update(a2)
	w.until(discovery.Changed, id2.last)
}

func changed(r *run) {
	r.obey(ruleAdvertise)
	d, far := r.node(), r.node()
	w1, w2 := r.browse(far), r.browse(far)
	id, a := r.advertise(d)
	w1.until(discovery.Found, id.last)
	w2.until(discovery.Found, id.last)
	r.obey(ruleUpdate)
	moved := id.sign(func(rec *discovery.Record) { rec.Addrs, rec.Services = rec.Addrs[:1], rec.Services[1:] })
	if err := a.Update(moved); err != nil {
		r.fatalf("Update() = %v, want nil", err)
	}
	w1.until(discovery.Changed, id.last)
	w2.until(discovery.Changed, id.last)
	for range 5 {
		id.update(a)
	}
	w1.untilAt(id.last)
	w2.untilAt(id.last)
}

func updateRefused(r *run) {
	r.obey(rule{"Advertiser.Update", "It must have the same ID and network and a higher sequence, and is refused otherwise."})
	d, far := r.node(), r.node()
	w := r.browse(far)
	id, a := r.advertise(d)
	w.until(discovery.Found, id.last)
	other := r.identity()
	other.sequence = id.sequence + 10
	for name, s := range map[string]discovery.Signed{
		"another ID":        other.sign(nil),
		"another network":   id.signAt(id.sequence+1, func(rec *discovery.Record) { rec.Network[0]++ }),
		"the same sequence": id.signAt(id.sequence, func(rec *discovery.Record) { rec.Addrs = rec.Addrs[:1] }),
		"a lower sequence":  id.signAt(id.sequence-1, nil),
		"nothing":           {},
	} {
		if err := a.Update(s); err == nil {
			r.fatalf("Update(%s) = nil, want an error", name)
		}
	}
	id.update(a) // goes on
	w.until(discovery.Changed, id.last)
}

func lostByGoodbye(r *run) {
	if r.NoGoodbye {
		r.skip("Setup.NoGoodbye is set")
	}
	r.obey(ruleAdvertise)
	d, far := r.node(), r.node()
	w := r.browse(far)
	id, a := r.advertise(d)
	stays, staying := r.advertise(d)
	w.untilAt(id.last)
	w.untilAt(stays.last)
	id.update(a)
	w.until(discovery.Changed, id.last)
	r.obey(ruleLost)
	id.leave(a)
	w.until(discovery.Lost, id.last)
	stays.update(staying)
	w.until(discovery.Changed, stays.last)
}

func foundAgain(r *run) {
	if r.NoGoodbye {
		r.skip("Setup.NoGoodbye is set")
	}
	d, far := r.node(), r.node()
	w := r.browse(far)
	id, a := r.advertise(d)
	w.until(discovery.Found, id.last)
	for range 3 {
		r.obey(ruleLost)
		id.leave(a)
		w.until(discovery.Lost, id.last)
		r.obey(ruleOrder)
		a = r.advertiseAs(d, id)
		w.until(discovery.Found, id.last)
	}
}

func otherNetwork(r *run) {
	r.obey(ruleSigned)
	d, far := r.node(), r.node()
	w := r.browse(far)
	stranger := r.identity()
	stranger.network = newNetwork()
	a := r.advertiseAs(d, stranger)
	w.untilMarker(d)
	stranger.update(a)
	w.untilMarker(d)
	theirs, err := far.Browse(r.ctx, stranger.network)
	if err != nil {
		r.fatalf("Browse(another network) = %v, want nil", err)
	}
	if ev, err := theirs.Next(r.ctx); err != nil || ev.Record.ID != stranger.last.ID {
		r.fatalf("Next() = %s, %v, want Found of the node of that network", describeEvent(ev), err)
	}
}

// expired waits in real time, for two seconds.
func expired(r *run) {
	r.obey(rule{"Discovery", "One that expires later is Lost then."})
	d, far := r.node(), r.node()
	w := r.browse(far)
	stays, _ := r.advertise(d)
	w.until(discovery.Found, stays.last)
	id := r.identity()
	soon := id.sign(func(rec *discovery.Record) { rec.Expires = time.Now().Add(2 * time.Second).Truncate(time.Second) })
	if _, err := d.Advertise(r.ctx, soon); err != nil {
		r.fatalf("Advertise() = %v, want nil", err)
	}
	w.until(discovery.Found, id.last)
	w.until(discovery.Lost, id.last)
	if now := time.Now(); now.Before(id.last.Expires) {
		r.fatalf("Lost at %v, want it not before %v", now, id.last.Expires)
	}
	w.holds(stays.last)

	r.obey(ruleSigned)
	over := r.identity()
	late := over.sign(func(rec *discovery.Record) { rec.Expires = time.Now().Add(-time.Minute) })
	// Whether it is refused at once or nobody listens is the medium's choice.
	if _, err := d.Advertise(r.ctx, late); err == nil {
		w.untilMarker(d)
	}
}

func ctxEndsOnlyTheCall(r *run) {
	d, far := r.node(), r.node()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	r.obey(rule{"Discovery.Browse", "ctx bounds the call, not the browsing."})
	b, err := far.Browse(ctx, r.network)
	if err != nil {
		r.fatalf("Browse() = %v, want nil", err)
	}
	w := &watcher{r: r, b: b, known: make(map[kith.ID]discovery.Record)}
	id := r.identity()
	a, err := d.Advertise(ctx, id.sign(nil))
	if err != nil {
		r.fatalf("Advertise() = %v, want nil", err)
	}
	w.until(discovery.Found, id.last)
	cancel()
	r.letSettle()
	w.untilMarker(d)
	r.obey(rule{"Discovery.Advertise", "ctx bounds the call, not the advertising."})
	w.holds(id.last)
	r.browse(r.node()).untilAt(id.last)
	id.update(a)
	w.until(discovery.Changed, id.last)
}
