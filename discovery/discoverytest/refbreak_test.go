package discoverytest

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A refBrowser is a table's Browser that its node's fault gets between.
type refBrowser struct {
	discovery.Browser
	n       *refNode
	network discovery.Tag

	known     map[kith.ID]bool   // guarded by n.mu; whom the events say to be there
	lost      map[kith.ID]bool   // guarded by n.mu; who was
	extra     []discovery.Event  // guarded by n.mu; what the fault made up
	interrupt context.CancelFunc // guarded by n.mu; ends the Next that waits for the table
}

// breakStart is what a fault does to a Browser that is new.
func (b *refBrowser) breakStart(ctx context.Context, late bool) {
	switch b.n.bus.fault {
	case ctxEndsBrowsing:
		context.AfterFunc(ctx, func() { b.Browser.Close() })
	case backlog:
		go b.pumpLoop() // ends when the table is closed
	case lateBlind:
		for late {
			ended, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			_, err := b.Browser.Next(ended)
			cancel()
			late = err == nil
		}
	}
}

func (b *refBrowser) pumpLoop() {
	for {
		ev, err := b.Browser.Next(context.Background())
		b.n.mu.Lock()
		if err == nil {
			b.pushLocked(ev)
		}
		b.n.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (b *refBrowser) pushLocked(ev discovery.Event) {
	b.extra = append(b.extra, ev)
	if b.interrupt != nil {
		b.interrupt()
	}
}

// Next implements discovery.Browser.
func (b *refBrowser) Next(ctx context.Context) (discovery.Event, error) {
	switch b.n.bus.fault {
	case nextIgnoresCtx:
		ctx = context.Background()
	case nextLosesEvent:
		if ctx.Err() != nil {
			late, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			_, _ = b.Browser.Next(late)
		}
	}
	for {
		ev, err := b.nextOf(ctx)
		if err != nil || !b.hide(&ev) {
			return ev, err
		}
	}
}

// nextOf returns what the fault made up, or else what the table has.
func (b *refBrowser) nextOf(ctx context.Context) (discovery.Event, error) {
	for {
		b.n.mu.Lock()
		if len(b.extra) > 0 && ctx.Err() == nil {
			ev := b.extra[0]
			b.extra = b.extra[1:]
			b.n.mu.Unlock()
			return ev, nil
		}
		inner, cancel := context.WithCancel(ctx)
		b.interrupt = cancel
		b.n.mu.Unlock()
		var ev discovery.Event
		var err error
		if b.n.bus.fault == backlog {
			<-inner.Done()
			err = inner.Err()
		} else {
			ev, err = b.Browser.Next(inner)
		}
		cancel()
		if !errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return ev, err
		}
	}
}

// hide changes an event as the fault has it, or says that it is kept back.
func (b *refBrowser) hide(ev *discovery.Event) bool {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	id := ev.Record.ID
	switch b.n.bus.fault {
	case changedIsFound:
		if ev.Kind == discovery.Changed {
			ev.Kind = discovery.Found
		}
	case lostIsGoodbye:
		if ev.Kind == discovery.Lost {
			ev.Record.Addrs = nil
		}
	case mangled:
		ev.Record.Services = nil
	case lostForGood:
		if ev.Kind == discovery.Lost {
			b.lost[id] = true
		}
		return ev.Kind == discovery.Found && b.lost[id]
	case ownHidden:
		return b.n.ads[id] != nil
	}
	b.known[id] = ev.Kind != discovery.Lost
	return false
}

// Suspect implements discovery.Browser.
func (b *refBrowser) Suspect(id kith.ID) {
	b.Browser.Suspect(id)
	if b.n.bus.fault == strangersSuspected {
		b.n.mu.Lock()
		defer b.n.mu.Unlock()
		b.n.dropAllLocked()
	}
}

// Close implements discovery.Browser.
func (b *refBrowser) Close() error {
	switch b.n.bus.fault {
	case closeLeavesNext:
		return nil
	case browsersShareClose:
		b.n.mu.Lock()
		defer b.n.mu.Unlock()
		for _, other := range b.n.seen {
			other.Browser.Close()
		}
	}
	return b.Browser.Close()
}

func (n *refNode) dropAllLocked() {
	for _, t := range n.tables {
		for _, s := range t.All() {
			t.Drop(s.Record().ID)
		}
	}
}

func (n *refNode) breakConfig(cfg *discovery.TableConfig) {
	if n.bus.fault == expiredStays {
		start := time.Now()
		cfg.Now = func() time.Time { return start }
	}
}

// breakCtx is what a fault does to an Advertiser that is new.
func (a *refAd) breakCtx(ctx context.Context) {
	switch a.n.bus.fault {
	case ctxEndsAdvertising:
		id := a.s.Record().ID
		context.AfterFunc(ctx, func() {
			for _, n := range a.n.bus.all() {
				n.mu.Lock()
				for _, t := range n.tables {
					t.Drop(id)
				}
				n.mu.Unlock()
			}
		})
	case leaksAdvertiser:
		go a.leakLoop() // ends when the test lets it
	}
}

func (a *refAd) leakLoop() { <-a.n.bus.stuck }

// hearWrongLocked is what a fault does with what is heard; if true, it is for nobody else.
func (n *refNode) hearWrongLocked(raw []byte, source string) bool {
	if n.bus.fault == noFault {
		return false
	}
	injected := source == "injector"
	s, err := discovery.Open(raw)
	rec := s.Record()
	switch n.bus.fault {
	case advertisersDeaf:
		return len(n.ads) > 0 && n.ads[rec.ID] == nil
	case injectionUnheard:
		return injected
	case garbageDeafens:
		n.deaf = n.deaf || err != nil
	case floodEvicts:
		if err != nil {
			n.bad++
		}
		if n.bad == 1000 {
			n.dropAllLocked()
		}
	case forgedTaken:
		if err != nil && len(raw) > 57 {
			n.makeUpLocked(forgedRecord(raw))
		}
	case networksMixed:
		n.makeUpElsewhereLocked(rec, err == nil && !injected)
	case foreignReported:
		n.makeUpElsewhereLocked(rec, err == nil && injected)
	case expiredTaken:
		if err == nil && time.Now().After(rec.Expires) && !rec.IsGoodbye() {
			n.makeUpLocked(rec)
		}
	case replayTaken:
		if err == nil && injected {
			n.makeUpLocked(rec)
		}
	case replayTakenAfter:
		if err == nil && rec.IsGoodbye() {
			n.left[rec.ID] = true
		} else if err == nil && n.left[rec.ID] {
			n.makeUpLocked(rec)
		}
	case staleGoodbyeTaken:
		if err == nil && rec.IsGoodbye() {
			for _, t := range n.tables {
				t.Drop(rec.ID)
			}
		}
	}
	return false
}

// makeUpLocked reports a record to all Browsers, whatever is wrong with it.
func (n *refNode) makeUpLocked(rec discovery.Record) {
	for _, b := range n.seen {
		kind := discovery.Found
		if b.known[rec.ID] {
			kind = discovery.Changed
		}
		b.pushLocked(discovery.Event{Kind: kind, Record: rec})
	}
}

// makeUpElsewhereLocked reports a record to the Browsers of other networks.
func (n *refNode) makeUpElsewhereLocked(rec discovery.Record, really bool) {
	for _, b := range n.seen {
		if really && b.network != rec.Network {
			b.pushLocked(discovery.Event{Kind: discovery.Found, Record: rec})
		}
	}
}

// forgedRecord reads what nobody signed.
func forgedRecord(raw []byte) discovery.Record {
	return discovery.Record{
		ID: kith.ID(raw[1:]), Network: discovery.Tag(raw[33:]), Sequence: binary.BigEndian.Uint64(raw[41:]),
		Expires: time.Now().Add(time.Hour), Addrs: []string{"quic://10.6.6.6:666"},
	}
}
