package fileclient

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// maxWatched bounds what a server can make a watcher remember.
const maxWatched = 1 << 20

var errTooMany = errors.New("more files than a watcher can remember")

// errStopped is why a watch ends whose caller has enough.
var errStopped = errors.New("stopped")

// Watch gives what becomes of the files whose names begin with prefix, to be
// ranged over once: what exists if snapshot is true, then an event that says
// [fileapi.Ready], then the news. When the connection is lost, it watches again
// and tells what has changed meanwhile. Breaking out of the range ends it. The
// error that is yielded last says why it ended otherwise.
func (c *Client) Watch(ctx context.Context, prefix string, snapshot bool) iter.Seq2[fileapi.Event, error] {
	return func(yield func(fileapi.Event, error) bool) {
		w := &watching{
			c: c, prefix: prefix, first: snapshot, known: make(map[string]fileapi.File),
			yield: func(e fileapi.Event) bool { return yield(e, nil) },
		}
		err := c.persist(ctx, func() (bool, error) { return w.attempt(ctx) })
		if !errors.Is(err, errStopped) {
			yield(fileapi.Event{}, err)
		}
	}
}

// watching is one Watch, over all its attempts.
type watching struct {
	c      *Client
	prefix string
	first  bool // tell what exists, the first time
	yield  func(fileapi.Event) bool
	ready  bool                    // Ready was told
	known  map[string]fileapi.File // as told, or as it was when the watch began
}

// attempt watches by one call, until it ends. It reports whether that has begun
// well. The first attempt hands the snapshot on as it comes; a later one
// compares it with what was told.
func (w *watching) attempt(ctx context.Context) (progress bool, err error) {
	again := w.ready || len(w.known) > 0
	present := make(map[string]fileapi.File)
	for e, err := range fileapi.Watch.Call(ctx, w.c.cfg.Caller, fileapi.WatchRequest{Prefix: w.prefix, Snapshot: true}) {
		if err != nil {
			return progress, err
		}
		if len(w.known)+len(present) > maxWatched {
			return progress, errTooMany
		}
		ok := true
		switch {
		case e.Change == fileapi.Present && again:
			present[e.File.Name] = e.File
		case e.Change == fileapi.Ready:
			progress = true
			ok = (!again || w.compare(present)) && w.begin(e)
			clear(present)
		default:
			ok = w.tell(e)
		}
		if !ok {
			return progress, errStopped
		}
	}
	return progress, errEnded
}

// begin tells once that the news begins.
func (w *watching) begin(e fileapi.Event) bool {
	if w.ready {
		return true
	}
	w.ready = true
	return w.yield(e)
}

// compare tells what has changed while there was no connection.
func (w *watching) compare(present map[string]fileapi.File) bool {
	for _, name := range slices.Sorted(maps.Keys(w.known)) {
		if _, ok := present[name]; !ok && !w.tell(fileapi.Event{Change: fileapi.Removed, File: w.known[name]}) {
			return false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(present)) {
		change := fileapi.Changed
		old, ok := w.known[name]
		if !ok {
			change = fileapi.Added
		}
		if (!ok || !unchanged(old, present[name])) && !w.tell(fileapi.Event{Change: change, File: present[name]}) {
			return false
		}
	}
	return true
}

func unchanged(a, b fileapi.File) bool {
	return a.Content == b.Content && a.Modified.Equal(b.Modified)
}

// tell remembers an event, and yields it.
func (w *watching) tell(e fileapi.Event) bool {
	if e.Change == fileapi.Removed {
		delete(w.known, e.File.Name)
	} else {
		w.known[e.File.Name] = e.File
	}
	if e.Change == fileapi.Present && !w.first {
		return true
	}
	return w.yield(e)
}
