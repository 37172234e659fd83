package discoverytest

import (
	"reflect"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// node adds a node to the medium.
func (r *run) node() discovery.Discovery {
	d := r.New()
	if d == nil {
		r.fatalf("Setup.New() = nil")
	}
	r.mu.Lock()
	r.nodes = append(r.nodes, d)
	r.mu.Unlock()
	return d
}

// An identity is a key and the records that it signs.
type identity struct {
	r        *run
	key      *kith.Key
	sequence uint64
	network  discovery.Tag
	last     discovery.Record // what sign made last, other than goodbyes
}

func (r *run) identity() *identity {
	return &identity{r: r, key: kith.NewKey(), sequence: 100, network: r.network}
}

// sign signs what change makes of a usual record, with the next sequence.
func (id *identity) sign(change func(*discovery.Record)) discovery.Signed {
	id.sequence++
	return id.signAt(id.sequence, change)
}

// signAt is sign with a sequence of its own, which is not the identity's next.
func (id *identity) signAt(sequence uint64, change func(*discovery.Record)) discovery.Signed {
	rec := discovery.Record{
		Network: id.network, Sequence: sequence, Expires: time.Now().Add(time.Hour),
		Addrs:    []string{id.r.Addr, "tcp://10.0.0.7:4433"},
		Services: []discovery.Tag{{1}, {2}},
	}
	if change != nil {
		change(&rec)
	}
	s, err := discovery.Sign(id.key, rec)
	if err != nil {
		id.r.fatalf("Sign(%+v) = %v, want nil", rec, err)
	}
	if sequence == id.sequence && !s.Record().IsGoodbye() {
		id.last = s.Record()
	}
	return s
}

func goodbye(r *discovery.Record) { r.Addrs, r.Services = nil, nil }

// advertise makes a new identity known through d.
func (r *run) advertise(d discovery.Discovery) (*identity, discovery.Advertiser) {
	id := r.identity()
	return id, r.advertiseAs(d, id)
}

func (r *run) advertiseAs(d discovery.Discovery, id *identity) discovery.Advertiser {
	a, err := d.Advertise(r.ctx, id.sign(nil))
	if err != nil {
		r.fatalf("Advertise() = %v, want nil", err)
	}
	return a
}

// update makes the identity's next record known.
func (id *identity) update(a discovery.Advertiser) {
	if err := a.Update(id.sign(nil)); err != nil {
		id.r.fatalf("Update(a higher sequence) = %v, want nil", err)
	}
}

// leave says goodbye.
func (id *identity) leave(a discovery.Advertiser) {
	if err := a.Close(id.sign(goodbye)); err != nil {
		id.r.fatalf("Close(goodbye) = %v, want nil", err)
	}
}

// inject puts bytes onto the medium.
func (r *run) inject(raw []byte) {
	if r.Inject == nil {
		r.skip("Setup.Inject is not set")
	}
	if err := r.Inject(raw); err != nil {
		r.fatalf("Setup.Inject() = %v, want nil", err)
	}
}

// A watcher reads a Browser, and holds every event against what came before it.
type watcher struct {
	r     *run
	b     discovery.Browser
	known map[kith.ID]discovery.Record // whom the events say to be there
	read  int                          // events
}

func (r *run) browse(d discovery.Discovery) *watcher {
	b, err := d.Browse(r.ctx, r.network)
	if err != nil {
		r.fatalf("Browse() = %v, want nil", err)
	}
	return &watcher{r: r, b: b, known: make(map[kith.ID]discovery.Record)}
}

var (
	ruleSigned   = rule{"Discovery", "Only a record that [Open] accepted, of the network asked for, and that has not expired, is reported."}
	ruleHigher   = rule{"Discovery", "a record with a higher sequence replaces the last; one with the same or a lower is ignored, in a goodbye as well"}
	ruleOrder    = rule{"Discovery", "Found comes before Changed and Lost of an ID; after Lost, Found comes again."}
	ruleLastWord = rule{"Event.Record", "of Lost, the last that was no goodbye"}
)

// next reads one event, which must make sense after the others.
func (w *watcher) next() discovery.Event {
	ev, err := w.b.Next(w.r.ctx)
	if err != nil {
		w.r.fatalf("Next() = %v, want an event", err)
	}
	w.accept(ev)
	return ev
}

// accept holds one event against the others.
func (w *watcher) accept(ev discovery.Event) {
	w.read++
	last, known := w.known[ev.Record.ID]
	text := describeEvent(ev)
	switch {
	case ev.Kind < discovery.Found || ev.Kind > discovery.Lost:
		w.r.breaks(ruleOrder, "Next() = %s, want Found, Changed or Lost", text)
	case known == (ev.Kind == discovery.Found):
		w.r.breaks(ruleOrder, "Next() = %s, of an ID that was there: %v", text, known)
	case ev.Record.Network != w.r.network:
		w.r.breaks(ruleSigned, "Next() = %s, of network %x, want %x", text, ev.Record.Network, w.r.network)
	case ev.Kind != discovery.Lost && !ev.Record.Expires.After(time.Now().Add(-time.Second)):
		w.r.breaks(ruleSigned, "Next() = %s, expired at %v", text, ev.Record.Expires)
	case ev.Kind == discovery.Changed && ev.Record.Sequence <= last.Sequence:
		w.r.breaks(ruleHigher, "Next() = %s, after #%d", text, last.Sequence)
	case ev.Record.IsGoodbye():
		w.r.breaks(ruleLastWord, "Next() = %s, with the record of a goodbye", text)
	case ev.Kind == discovery.Lost && ev.Record.Sequence < last.Sequence:
		w.r.breaks(ruleLastWord, "Next() = %s, after #%d", text, last.Sequence)
	case ev.Kind == discovery.Lost:
		delete(w.known, ev.Record.ID)
	default:
		w.known[ev.Record.ID] = ev.Record
	}
}

func describeEvent(ev discovery.Event) string {
	return ev.Kind.String() + " of " + describeRecord(ev.Record)
}

// until reads until want is the event; there may be others only of other IDs.
func (w *watcher) until(kind discovery.Kind, want discovery.Record) {
	for {
		ev := w.next()
		if ev.Record.ID != want.ID {
			continue
		}
		if ev.Kind != kind || !reflect.DeepEqual(ev.Record, want) {
			w.r.fatalf("Next() = %s, want %v of %s", describeEvent(ev), kind, describeRecord(want))
		}
		return
	}
}

// untilAt reads until want is what is known of its ID, by however many steps.
func (w *watcher) untilAt(want discovery.Record) {
	for !reflect.DeepEqual(w.known[want.ID], want) {
		w.next()
	}
}

// untilMarker makes somebody else known through d, and reads until that has come: what was sent before, and
// was to be ignored, then had its chance.
func (w *watcher) untilMarker(d discovery.Discovery) {
	id, _ := w.r.advertise(d)
	w.until(discovery.Found, id.last)
}

// holds checks that want is what is known of its ID.
func (w *watcher) holds(want discovery.Record) {
	if got, ok := w.known[want.ID]; !ok || !reflect.DeepEqual(got, want) {
		w.r.fatalf("there is %s, want %s", describeRecord(got), describeRecord(want))
	}
}

// letSettle waits until everything has come to rest, where that can be told.
func (r *run) letSettle() {
	if r.bubble {
		synctest.Wait()
	}
}
