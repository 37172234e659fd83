package static

import (
	"context"
	"slices"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A browser tells a reader how the list differs from what the reader knows of it.
type browser struct {
	d       *Discovery
	network discovery.Tag
	done    chan struct{} // closed by Close
	once    sync.Once     // closes done

	// Of the goroutine that calls Next.
	list    *list // what events were made of; nil before the first
	events  []discovery.Event
	known   map[kith.ID][]string // whom the reader knows, and where
	knowing []kith.ID            // the keys of known, oldest first
}

func newBrowser(d *Discovery, network discovery.Tag) *browser {
	return &browser{d: d, network: network, done: make(chan struct{}), known: make(map[kith.ID][]string)}
}

// Next implements [discovery.Browser].
func (b *browser) Next(ctx context.Context) (discovery.Event, error) {
	for {
		switch {
		case isClosed(b.done) || isClosed(b.d.done):
			return discovery.Event{}, discovery.ErrClosed
		case ctx.Err() != nil:
			return discovery.Event{}, ctx.Err()
		}
		if l := b.d.current(); l != b.list {
			b.list = l
			b.compare()
		}
		if len(b.events) > 0 {
			ev := b.events[0]
			b.events = b.events[1:]
			b.note(ev)
			return ev, nil
		}
		select {
		case <-b.list.replaced:
		case <-b.done:
		case <-b.d.done:
		case <-ctx.Done():
		}
	}
}

// compare makes the events that lead from what the reader knows to the list.
func (b *browser) compare() {
	b.events = nil
	for _, id := range b.knowing {
		if b.list.addrs[id] == nil {
			b.events = append(b.events, discovery.Event{Kind: discovery.Lost, Record: b.record(id, b.known[id])})
		}
	}
	for _, id := range b.list.order {
		addrs, known := b.known[id]
		switch {
		case !known:
			b.events = append(b.events, discovery.Event{Kind: discovery.Found, Record: b.record(id, b.list.addrs[id])})
		case !slices.Equal(addrs, b.list.addrs[id]):
			b.events = append(b.events, discovery.Event{Kind: discovery.Changed, Record: b.record(id, b.list.addrs[id])})
		}
	}
}

func (b *browser) record(id kith.ID, addrs []string) discovery.Record {
	return discovery.Record{ID: id, Network: b.network, Addrs: addrs}
}

// note keeps what the reader knows now.
func (b *browser) note(ev discovery.Event) {
	id := ev.Record.ID
	switch ev.Kind {
	case discovery.Lost:
		delete(b.known, id)
		b.knowing = slices.DeleteFunc(b.knowing, func(o kith.ID) bool { return o == id })
		return
	case discovery.Found:
		b.knowing = append(b.knowing, id)
	}
	b.known[id] = ev.Record.Addrs
}

// Suspect implements [discovery.Browser]. A list cannot be asked.
func (b *browser) Suspect(kith.ID) {}

// Close implements [discovery.Browser].
func (b *browser) Close() error {
	b.once.Do(func() { close(b.done) })
	return nil
}
