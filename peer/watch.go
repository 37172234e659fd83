package peer

import (
	"context"
	"iter"
	"slices"
)

// A watcher is one range over Watch. It is guarded by Node.mu.
type watcher struct {
	told  map[*pair]told
	dirty []*pair            // in the order of their first change
	in    map[*pair]struct{} // those of dirty
	ready chan struct{}      // cap 1
}

// told is what a watcher knows of a peer.
type told struct {
	kind Kind
	info Info
}

// Watch yields changes until ctx or the node ends, starting with a Found or Up
// for each peer that is known already. A watcher that is slow gets each peer's
// latest state, never a backlog.
func (n *Node) Watch(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		w := &watcher{told: make(map[*pair]told), in: make(map[*pair]struct{}), ready: make(chan struct{}, 1)}
		n.mu.Lock()
		n.watchers[w] = struct{}{}
		for _, p := range n.pairs {
			w.mark(p)
		}
		n.mu.Unlock()
		defer func() {
			n.mu.Lock()
			delete(n.watchers, w)
			n.mu.Unlock()
		}()
		for {
			n.mu.Lock()
			ev, ok := w.nextLocked()
			over := n.state == closed
			n.mu.Unlock()
			switch {
			case ctx.Err() != nil:
				return
			case ok:
				if !yield(ev) {
					return
				}
				continue
			case over:
				return
			}
			select {
			case <-w.ready:
			case <-ctx.Done():
				return
			}
		}
	}
}

// tellLocked tells all watchers that something about the peer may have changed.
func (n *Node) tellLocked(p *pair) {
	for w := range n.watchers {
		w.mark(p)
	}
}

func (w *watcher) mark(p *pair) {
	if _, in := w.in[p]; !in {
		w.in[p] = struct{}{}
		w.dirty = append(w.dirty, p)
	}
	w.wake()
}

func (w *watcher) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// nextLocked returns the next event, if there is one.
func (w *watcher) nextLocked() (Event, bool) {
	for len(w.dirty) > 0 {
		p := w.dirty[0]
		kind := w.changeLocked(p)
		if kind != Down { // Gone may follow
			w.dirty = w.dirty[1:]
			delete(w.in, p)
		}
		if kind == 0 {
			continue
		}
		info := p.infoLocked()
		if kind == Gone {
			delete(w.told, p)
		} else {
			w.told[p] = told{kind, info}
		}
		return Event{Kind: kind, Info: info}, true
	}
	w.dirty = nil
	return Event{}, false
}

// changeLocked returns what a watcher is to be told of a peer, 0 for nothing.
func (w *watcher) changeLocked(p *pair) Kind {
	last, was := w.told[p]
	known := p.knownLocked()
	wasUp := was && last.info.Up
	switch {
	case !was && !known:
		return 0
	case p.up && !wasUp:
		return Up
	case !p.up && wasUp:
		return Down
	case !was:
		return Found
	case !known:
		return Gone
	case changed(last.info, p.infoLocked()):
		return Changed
	}
	return 0
}

// changed reports whether the difference is worth an event: a failure to
// connect once more is not.
func changed(a, b Info) bool {
	if a.Name != b.Name || a.Addr != b.Addr || a.Dialed != b.Dialed || !slices.Equal(a.Methods, b.Methods) {
		return true
	}
	return !slices.Equal(a.Addrs, b.Addrs)
}
