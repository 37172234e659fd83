package discovery

import (
	"context"
	"sync"
	"time"

	"github.com/kith-go/kith"
)

// Browse returns a Browser of this table, which starts with Found for all IDs held, those that came first before
// others. Closing it ends only itself. After Close of the table its Next fails with [ErrClosed].
func (t *Table) Browse() Browser {
	b := &browser{
		table: t,
		views: make(map[kith.ID]*view),
		news:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	b.queue.next, b.queue.prev = &b.queue, &b.queue
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		b.endLocked()
		return b
	}
	t.sweepLocked(now)
	t.browsers[b] = true
	for _, e := range t.inOrderLocked() {
		b.tellLocked(e.rec.ID, e.Signed)
	}
	return b
}

// tellLocked lets all browsers know that s is the latest of id, nil for gone.
func (t *Table) tellLocked(id kith.ID, s *Signed) {
	for b := range t.browsers {
		b.tellLocked(id, s)
	}
}

// A browser is one reader's view of a table. It keeps of each ID what the reader knows and what it
// does not, and a queue of those where the two differ.
type browser struct {
	table *Table
	news  chan struct{} // holds a token if the queue may not be empty
	done  chan struct{} // closed by endLocked
	end   sync.Once

	views map[kith.ID]*view // guarded by table.mu; who the reader knows, or has yet to learn of
	queue view              // guarded by table.mu; the ring of views with an event, oldest first, begins behind it
}

// A view is what a reader knows of one ID, and what is true.
type view struct {
	told       *Signed // nil if the reader does not know of it
	now        *Signed // nil if it is gone
	last       *Signed // what now was before, if gone
	next, prev *view   // in the queue; nil if not there
}

// event is what the reader has yet to learn; it is zero if that is nothing.
func (v *view) event() Event {
	switch {
	case v.told == nil && v.now != nil:
		return Event{Found, v.now.rec}
	case v.told != nil && v.now == nil:
		return Event{Lost, v.last.rec}
	case v.told != nil && v.told.raw != v.now.raw:
		return Event{Changed, v.now.rec}
	}
	return Event{}
}

// tellLocked notes what is true of id now. An event that waits keeps its place, whatever
// becomes of it, so that nobody gets ahead by changing often.
func (b *browser) tellLocked(id kith.ID, s *Signed) {
	v := b.views[id]
	if v == nil {
		if s == nil {
			return
		}
		v = new(view)
		b.views[id] = v
	}
	if s == nil {
		v.last = v.now
	}
	v.now = s
	if v.event().Kind == 0 {
		b.removeLocked(v)
		if v.now == nil {
			delete(b.views, id)
		}
		return
	}
	if v.next == nil {
		v.prev, v.next = b.queue.prev, &b.queue
		v.prev.next, v.next.prev = v, v
	}
	select { // never blocks
	case b.news <- struct{}{}:
	default:
	}
}

func (b *browser) removeLocked(v *view) {
	if v.next != nil {
		v.prev.next, v.next.prev = v.next, v.prev
		v.prev, v.next = nil, nil
	}
}

// maxWait is how long Next relies on a timer: it does not see that the wall clock was set, or that
// the machine slept.
const maxWait = time.Minute

// Next implements [Browser].
func (b *browser) Next(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Event{}, err
		}
		ev, wait, err := b.take()
		if ev.Kind != 0 || err != nil {
			return ev, err
		}
		if err := b.wait(ctx, wait); err != nil {
			return Event{}, err
		}
	}
}

// take returns the oldest event. If there is none, wait is when to look again for
// what expired, zero for never.
func (b *browser) take() (ev Event, wait time.Duration, err error) {
	t := b.table
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	select { // never blocks
	case <-b.done:
		return Event{}, 0, ErrClosed
	default:
	}
	t.sweepLocked(now)
	v := b.queue.next
	if v == &b.queue {
		if !t.expiry.IsZero() {
			wait = min(maxWait, t.expiry.Sub(now)) // positive after sweepLocked
		}
		return Event{}, wait, nil
	}
	b.removeLocked(v)
	ev = v.event()
	v.told, v.last = v.now, nil
	if v.now == nil {
		delete(b.views, ev.Record.ID)
	}
	return ev, 0, nil
}

// wait returns when there may be something new, or an error.
func (b *browser) wait(ctx context.Context, d time.Duration) error {
	var expired <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-b.news:
	case <-b.done:
	case <-expired:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Suspect implements [Browser].
func (b *browser) Suspect(id kith.ID) {
	suspect := b.table.cfg.Suspect
	if suspect == nil {
		return
	}
	if _, ok := b.table.Get(id); ok {
		suspect(id)
	}
}

// Close implements [Browser].
func (b *browser) Close() error {
	b.table.mu.Lock()
	defer b.table.mu.Unlock()
	b.endLocked()
	return nil
}

func (b *browser) endLocked() {
	b.end.Do(func() {
		delete(b.table.browsers, b)
		b.views, b.queue.next, b.queue.prev = nil, nil, nil
		close(b.done)
	})
}
