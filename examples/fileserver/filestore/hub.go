package filestore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// A snapshot is what a scan found. It is immutable, and shared by all watchers
// that have not gone on to a later one.
type snapshot struct {
	number uint64 // of the scan
	files  []fileapi.File
	err    error // the scan failed; files are those of the one before
}

// A hub scans the directory while somebody watches, and hands each watcher the
// latest snapshot when that is ready for one. So a slow watcher costs one
// snapshot, and misses only what did not last.
type hub struct {
	scan  func(context.Context) ([]fileapi.File, error)
	every time.Duration
	limit int
	woken chan struct{} // holds a token if a scan is due

	mu       sync.Mutex
	watchers int           // guarded by mu
	begun    uint64        // scans begun; guarded by mu
	last     *snapshot     // nil while nobody watches; guarded by mu
	changed  chan struct{} // closed, and made anew, when last changes; guarded by mu
}

func (h *hub) init(scan func(context.Context) ([]fileapi.File, error), every time.Duration, limit int) {
	h.scan, h.every, h.limit = scan, every, limit
	h.woken = make(chan struct{}, 1)
	h.changed = make(chan struct{})
}

// wake makes a scan begin soon that sees everything done up to now.
func (h *hub) wake() {
	select {
	case h.woken <- struct{}{}:
	default: // one is due already
	}
}

// join returns the first snapshot of a new watcher: one of a scan that begins
// now. Who joined must leave.
func (h *hub) join(ctx context.Context) (*snapshot, error) {
	h.mu.Lock()
	if h.limit >= 0 && h.watchers >= h.limit {
		h.mu.Unlock()
		return nil, fileapi.ErrWatchers
	}
	h.watchers++
	begun := h.begun
	h.mu.Unlock()
	h.wake()
	snap, err := h.after(ctx, begun)
	if err == nil {
		err = snap.err
	}
	if err != nil {
		h.leave()
		return nil, err
	}
	return snap, nil
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers--
	if h.watchers == 0 {
		h.last = nil
	}
}

// after waits for a snapshot with a number above n, until the ctx of a handler
// ends or its server is about to.
func (h *hub) after(ctx context.Context, n uint64) (*snapshot, error) {
	for {
		h.mu.Lock()
		snap, changed := h.last, h.changed
		h.mu.Unlock()
		if snap != nil && snap.number > n {
			return snap, nil
		}
		select {
		case <-changed:
		case <-kith.Draining(ctx):
			return nil, fileapi.ErrEnding
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// scanLoop scans when somebody watches and there may be something new. It ends
// with ctx; Close waits for it.
func (h *hub) scanLoop(ctx context.Context, done *sync.WaitGroup) {
	defer done.Done()
	for h.due(ctx) {
		h.mu.Lock()
		watched := h.watchers > 0
		h.begun++
		number := h.begun
		h.mu.Unlock()
		if !watched {
			continue
		}
		start := time.Now()
		files, err := h.scan(ctx)
		h.publish(&snapshot{number: number, files: files, err: err})
		// A large directory that changes all the time takes half a processor
		// at most.
		rest := time.NewTimer(time.Since(start))
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		rest.Stop()
	}
}

// due waits until the next scan is, and reports false if ctx ends first.
func (h *hub) due(ctx context.Context) bool {
	h.mu.Lock()
	watched := h.watchers > 0
	h.mu.Unlock()
	var tick <-chan time.Time
	if watched && h.every > 0 {
		t := time.NewTimer(h.every)
		defer t.Stop()
		tick = t.C
	}
	select {
	case <-h.woken:
	case <-tick:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func (h *hub) publish(snap *snapshot) {
	h.mu.Lock()
	before := h.last
	h.mu.Unlock()
	if before != nil && (snap.err != nil || slices.Equal(before.files, snap.files)) {
		snap.files = before.files // watchers see at once that nothing is new
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers > 0 {
		h.last = snap
	}
	close(h.changed)
	h.changed = make(chan struct{})
}
