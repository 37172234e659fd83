package discoverytest

import (
	"errors"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/internal/leak"
)

var closeCases = []testCase{
	{"BrowserClose", browserClose},
	{"AdvertiserClose", advertiserClose},
	{"AdvertiserCloseInSilence", closeInSilence},
	{"DiscoveryClose", discoveryClose},
	{"CloseLeavesOthers", closeLeavesOthers},
	{"ManyAtOnce", manyAtOnce},
	{"LeavesNothing", leaveNothing},
}

// closers is how many close the same thing at once.
const closers = 8

func browserClose(r *run) {
	r.obey(rule{"Browser.Next", "with [ErrClosed] after Close, which ends a Next that waits"})
	d := r.node()
	w := r.browse(d)
	blocked := make(chan struct{})
	next := r.start(func() {
		close(blocked)
		_, err := w.b.Next(r.ctx)
		r.mustEnd("Next(), closed meanwhile", err, discovery.ErrClosed)
	})
	<-blocked
	r.letSettle()
	r.each(closers, func(int) {
		if err := w.b.Close(); err != nil {
			r.breaks(rule{"Browser.Close", "It is idempotent."}, "Close() = %v, want nil", err)
		}
	})
	next.wait()
	_, err := w.b.Next(r.ctx)
	r.mustEnd("Next() after Close", err, discovery.ErrClosed)
	w.b.Suspect(r.identity().key.ID())
	id, _ := r.advertise(d)
	r.browse(d).until(discovery.Found, id.last)
}

func advertiserClose(r *run) {
	r.obey(rule{"Advertiser.Close", "Close is idempotent"})
	d := r.node()
	w := r.browse(r.node())
	id, a := r.advertise(d)
	w.until(discovery.Found, id.last)
	last := id.sign(goodbye)
	if r.NoGoodbye {
		last = discovery.Signed{}
	}
	r.each(closers, func(int) {
		if err := a.Close(last); err != nil {
			r.fatalf("Close() = %v, want nil", err)
		}
	})
	if !r.NoGoodbye {
		w.until(discovery.Lost, id.last)
	}
	r.obey(rule{"Advertiser.Update", "After Close it fails with [ErrClosed]."})
	was := id.last
	r.mustEnd("Update() after Close", a.Update(id.sign(nil)), discovery.ErrClosed)
	w.untilMarker(d)
	if rec, there := w.known[was.ID]; there && !r.NoGoodbye {
		r.fatalf("there is %s, closed", describeRecord(rec))
	}
}

func closeInSilence(r *run) {
	r.obey(rule{"Advertiser.Close", "With the zero Signed nothing is said"})
	d := r.node()
	_, a := r.advertise(d)
	if err := errors.Join(a.Close(discovery.Signed{}), a.Close(discovery.Signed{})); err != nil {
		r.fatalf("Close(nothing) = %v, want nil", err)
	}
	w := r.browse(d)
	w.untilMarker(d)
}

func discoveryClose(r *run) {
	r.obey(rule{"Discovery.Close", "Close ends all Advertisers and Browsers and what they hold."})
	d := r.node()
	w := r.browse(d)
	id, a := r.advertise(d)
	w.until(discovery.Found, id.last)
	next := r.start(func() {
		for {
			if _, err := w.b.Next(r.ctx); err != nil {
				r.mustEnd("Next(), the Discovery closed meanwhile", err, discovery.ErrClosed)
				return
			}
		}
	})
	r.letSettle()
	r.each(closers, func(int) {
		if err := d.Close(); err != nil {
			r.breaks(rule{"Discovery.Close", "It is idempotent"}, "Close() = %v, want nil", err)
		}
	})
	next.wait()
	r.mustEnd("Update() after Discovery.Close", a.Update(id.sign(nil)), discovery.ErrClosed)
	_, err := d.Advertise(r.ctx, r.identity().sign(nil))
	r.mustEnd("Advertise() after Close", err, discovery.ErrClosed)
	_, err = d.Browse(r.ctx, r.network)
	r.mustEnd("Browse() after Close", err, discovery.ErrClosed)
	_ = a.Close(id.sign(goodbye)) // too late to be said; it must return
	if err := w.b.Close(); err != nil {
		r.fatalf("Browser.Close() after Discovery.Close = %v, want nil", err)
	}
}

func closeLeavesOthers(r *run) {
	r.obey(ruleAdvertise)
	gone, d, far := r.node(), r.node(), r.node()
	w := r.browse(far)
	id, a := r.advertise(d)
	w.until(discovery.Found, id.last)
	r.browse(gone)
	r.advertise(gone)
	if err := gone.Close(); err != nil {
		r.fatalf("Close() = %v, want nil", err)
	}
	id.update(a)
	w.untilAt(id.last)
	w.untilMarker(d)
}

func manyAtOnce(r *run) {
	r.obey(rule{"Discovery", "It is safe for concurrent use."})
	d, far := r.node(), r.node()
	w := r.browse(far)
	last := make([]discovery.Record, 8)
	r.each(len(last), func(i int) {
		own := r.browse(d)
		id, a := r.advertise(d)
		own.untilAt(id.last)
		r.each(4, func(int) { own.b.Suspect(id.last.ID) })
		id.update(a)
		own.untilAt(id.last)
		last[i] = id.last
		if err := own.b.Close(); err != nil {
			r.fatalf("Close() = %v, want nil", err)
		}
	})
	for _, rec := range last {
		w.untilAt(rec)
	}
}

// leakRepeats is how often leaveNothing repeats what may leak. Less than half of that many goroutines may be
// there afterwards: a Discovery's own, that it makes when it first needs them, do not grow with use.
const leakRepeats = 20

func leaveNothing(r *run) {
	d := r.node()
	use := func() {
		w := r.browse(d)
		id, a := r.advertise(d)
		w.until(discovery.Found, id.last)
		w.b.Suspect(id.last.ID)
		id.leave(a)
		if err := w.b.Close(); err != nil {
			r.fatalf("Close() = %v, want nil", err)
		}
	}
	use()
	r.obey(rule{"Discovery.Close", "returns after the last of its goroutines has ended"})
	r.letSettle()
	before := leak.Take()
	for range leakRepeats {
		use()
	}
	r.letSettle()
	if text, ok := before.Settle(leakRepeats/2, r.IgnoreGoroutines); !ok {
		r.fatalf("left behind by %d Advertisers and Browsers, closed:\n%s", leakRepeats, leak.Cut(text))
	}
}
