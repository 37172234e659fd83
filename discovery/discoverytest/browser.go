package discoverytest

import (
	"context"
	"reflect"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

var browserCases = []testCase{
	{"NextHonoursCtx", nextHonoursCtx},
	{"SlowReaderGetsTheLatest", slowReader},
	{"CameAndWentUnseen", cameAndWent},
	{"WentAndCameUnseen", wentAndCame},
	{"BrowsersAreIndependent", independent},
	{"SuspectTheLiving", suspectLiving},
	{"SuspectTheDead", suspectDead},
	{"SuspectStrangers", suspectStrangers},
}

func nextHonoursCtx(r *run) {
	d, far := r.node(), r.node()
	w := r.browse(far)
	r.obey(rule{"Browser.Next", "It fails with ctx's error when ctx ends, without losing a change"})
	for range 5 {
		ctx, cancel := context.WithCancel(r.ctx)
		blocked := make(chan struct{})
		next := r.start(func() {
			close(blocked)
			for {
				ev, err := w.b.Next(ctx)
				if err != nil {
					r.mustEnd("Next(ctx that ends meanwhile)", err, context.Canceled)
					return
				}
				w.accept(ev) // of the last round
			}
		})
		<-blocked
		r.letSettle()
		cancel()
		next.wait()
		id, _ := r.advertise(d)
		witness := r.browse(far)
		witness.untilAt(id.last)
		if _, err := w.b.Next(ctx); err == nil {
			r.fatalf("Next(ctx that has ended) = nil, want context.Canceled")
		}
		w.untilAt(id.last)
	}
}

// most is how many events a reader may need to get to the latest state of one ID, when another
// Browser of the same node is there already: it may have been told a moment later.
func (r *run) most() int {
	if r.bubble {
		return 1
	}
	return 3
}

var ruleCoalesce = rule{"Browser.Next", "Changes of one ID that wait to be read are one: what differs between the state last read and the present one."}

func slowReader(r *run) {
	const changes = 20
	d, far := r.node(), r.node()
	slow, witness := r.browse(far), r.browse(far)
	id, a := r.advertise(d)
	for range 2 { // first it waits to be found, then to be changed
		for range changes {
			id.update(a)
			witness.untilAt(id.last)
		}
		r.letSettle()
		r.obey(ruleCoalesce)
		before := slow.read
		slow.untilAt(id.last)
		if n := slow.read - before; n > r.most() {
			r.fatalf("Next() took %d events to tell of %d changes that waited, want 1", n, changes)
		}
	}
}

func cameAndWent(r *run) {
	if r.NoGoodbye {
		r.skip("Setup.NoGoodbye is set")
	}
	d, far := r.node(), r.node()
	slow, witness := r.browse(far), r.browse(far)
	for range 10 {
		id, a := r.advertise(d)
		witness.until(discovery.Found, id.last)
		id.leave(a)
		witness.until(discovery.Lost, id.last)
	}
	r.letSettle()
	r.obey(rule{"Browser.Next", "who came and went in between is not reported"})
	slow.untilMarker(d)
	if slow.read > r.most() {
		r.fatalf("Next() took %d events to come to somebody new, want 1: ten others came and went before", slow.read)
	}
}

func wentAndCame(r *run) {
	if r.NoGoodbye {
		r.skip("Setup.NoGoodbye is set")
	}
	d, far := r.node(), r.node()
	slow, witness := r.browse(far), r.browse(far)
	id, a := r.advertise(d)
	slow.until(discovery.Found, id.last)
	witness.until(discovery.Found, id.last)
	for range 5 {
		id.leave(a)
		witness.until(discovery.Lost, id.last)
		a = r.advertiseAs(d, id)
		witness.until(discovery.Found, id.last)
	}
	r.letSettle()
	r.obey(rule{"Browser.Next", "who went and came back is Changed"})
	before := slow.read
	slow.untilAt(id.last)
	if n := slow.read - before; n > r.most() {
		r.fatalf("Next() took %d events to tell of somebody who went and came back, want 1", n)
	}
}

func independent(r *run) {
	d, far := r.node(), r.node()
	r.obey(rule{"Browser.Close", "Close ends the browsing."})
	w1, w2, w3 := r.browse(far), r.browse(far), r.browse(far)
	id, a := r.advertise(d)
	for _, w := range []*watcher{w1, w2} { // w3 reads nothing, which is nobody's business
		w.until(discovery.Found, id.last)
	}
	if err := w1.b.Close(); err != nil {
		r.fatalf("Close() = %v, want nil", err)
	}
	id.update(a)
	w2.until(discovery.Changed, id.last)
	w3.untilAt(id.last)
}

var ruleSuspect = rule{"Browser.Suspect", "so that the Browser asks whether it is still there, and reports Lost soon if it is not"}

func suspectLiving(r *run) {
	d, far := r.node(), r.node()
	w := r.browse(far)
	id, a := r.advertise(d)
	w.until(discovery.Found, id.last)
	r.obey(ruleSuspect)
	for range 3 {
		w.b.Suspect(id.last.ID)
		r.letSettle()
		w.untilMarker(d)
		w.holds(id.last)
		id.update(a)
		w.until(discovery.Changed, id.last)
	}
}

func suspectDead(r *run) {
	if r.Crash == nil {
		r.skip("Setup.Crash is not set")
	}
	dead, d, far := r.node(), r.node(), r.node()
	w := r.browse(far)
	id, _ := r.advertise(dead)
	lives, _ := r.advertise(d)
	w.untilAt(id.last)
	w.untilAt(lives.last)
	r.Crash(dead)
	r.obey(ruleSuspect)
	w.b.Suspect(id.last.ID)
	w.until(discovery.Lost, id.last)
	w.holds(lives.last)
}

func suspectStrangers(r *run) {
	d, far := r.node(), r.node()
	w := r.browse(far)
	id, _ := r.advertise(d)
	w.until(discovery.Found, id.last)
	r.obey(rule{"Browser.Suspect", "It returns at once."})
	r.each(8, func(int) {
		for range 10 {
			w.b.Suspect(kith.NewKey().ID())
			w.b.Suspect(kith.ID{})
		}
	})
	w.untilMarker(d)
	if got := w.known[id.last.ID]; !reflect.DeepEqual(got, id.last) {
		r.fatalf("there is %s, want %s", describeRecord(got), describeRecord(id.last))
	}
}
