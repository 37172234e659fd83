package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/filestore"
	"github.com/kith-go/kith/transport/memory"
)

// A watcher collects events until it is stopped.
type watcher struct {
	stop context.CancelFunc

	mu     sync.Mutex
	events []string // guarded by mu
	err    error    // guarded by mu
}

// watch must be called in a bubble. What came so far may be read after
// synctest.Wait.
func watch(t *testing.T, c kith.Caller, r fileapi.WatchRequest) *watcher {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{stop: cancel}
	go func() {
		for e, err := range fileapi.Watch.Call(ctx, c, r) {
			w.mu.Lock()
			if w.err = err; err == nil {
				w.events = append(w.events, strings.TrimSpace(fmt.Sprintf("%s %s", e.Change, e.File.Name)))
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(cancel)
	return w
}

func (w *watcher) want(t *testing.T, what string, want ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.events, want) {
		t.Errorf("after %s the events are %q, want %q", what, w.events, want)
	}
	w.events = nil
}

func (w *watcher) wantErr(t *testing.T, what string, want error) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !errors.Is(w.err, want) {
		t.Errorf("%s = %v, want %v", what, w.err, want)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, filestore.Config{Rescan: 2 * time.Second})
		c, ctx := f.client(), t.Context()
		f.write("a", []byte("1"))
		f.write("d/x", []byte("1"))
		all := watch(t, c, fileapi.WatchRequest{Snapshot: true})
		news := watch(t, c, fileapi.WatchRequest{Prefix: "d/"})
		all.want(t, "the start", "present a", "present d/x", "ready")
		news.want(t, "the start", "ready")

		// What comes through the Store is told at once.
		data, content := content(10)
		if _, err := put(ctx, c, fileapi.Upload{Name: "b", Content: content}, data); err != nil {
			t.Fatal(err)
		}
		all.want(t, "a put", "added b")
		if _, err := put(ctx, c, fileapi.Upload{Name: "d/x", Content: content}, data); err != nil {
			t.Fatal(err)
		}
		all.want(t, "a put over another", "changed d/x")
		news.want(t, "a put over another", "changed d/x")
		if _, err := fileapi.Remove.Call(ctx, c, "b"); err != nil {
			t.Fatal(err)
		}
		all.want(t, "a removal", "removed b")

		// What others do is found by the next scan.
		f.write("d/y", nil)
		f.write("a", []byte("22"))
		if err := os.Remove(filepath.Join(f.dir, "d", "x")); err != nil {
			t.Fatal(err)
		}
		all.want(t, "a moment")
		time.Sleep(2 * time.Second)
		all.want(t, "a scan", "changed a", "removed d/x", "added d/y")
		news.want(t, "a scan", "removed d/x", "added d/y")
		time.Sleep(time.Minute)
		all.want(t, "a quiet minute")
	})
}

// A watcher that does not read gets what has become of each file in the end.
func TestWatchSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, filestore.Config{Rescan: -1})
		c, slow, ctx := f.client(), f.clientAt(memory.Config{Window: 1024}), t.Context()
		for i := range 300 { // more than what is buffered on the way
			f.write(fmt.Sprintf("many/%s%d", strings.Repeat("x", 50), i), nil)
		}
		gate := make(chan struct{})
		var after []string
		go func() {
			defer close(gate)
			for e, err := range fileapi.Watch.Call(ctx, slow, fileapi.WatchRequest{Snapshot: true}) {
				if err != nil {
					t.Errorf("Watch = %v", err)
					return
				}
				if len(after) == 0 && e.Change == fileapi.Present {
					after = append(after, "began")
					gate <- struct{}{}
					<-gate
				}
				if e.Change == fileapi.Present {
					continue
				}
				if after = append(after, strings.TrimSpace(string(e.Change)+" "+e.File.Name)); e.File.Name == "z" {
					return
				}
			}
		}()
		<-gate
		data, content := content(10)
		for range 20 {
			if _, err := put(ctx, c, fileapi.Upload{Name: "a", Content: content}, data); err != nil {
				t.Fatal(err)
			}
			if _, err := fileapi.Remove.Call(ctx, c, "a"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // each is seen by a scan of its own
		}
		if _, err := put(ctx, c, fileapi.Upload{Name: "z", Content: content}, data); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		gate <- struct{}{}
		<-gate
		if want := []string{"began", "ready", "added z"}; !slices.Equal(after, want) {
			t.Errorf("the slow watcher got %q, want %q", after, want)
		}
	})
}

func TestWatchersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, filestore.Config{MaxWatchers: 2})
		c := f.client()
		first, second := watch(t, c, fileapi.WatchRequest{}), watch(t, c, fileapi.WatchRequest{})
		first.want(t, "the start", "ready")
		second.want(t, "the start", "ready")
		third := watch(t, c, fileapi.WatchRequest{})
		third.wantErr(t, "the third Watch", fileapi.ErrWatchers)
		first.stop()
		synctest.Wait()
		watch(t, c, fileapi.WatchRequest{}).want(t, "another has left", "ready")
	})
}

// Watchers do not hold up the end of a server.
func TestWatchEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, filestore.Config{})
		w := watch(t, f.client(), fileapi.WatchRequest{})
		w.want(t, "the start", "ready")
		if err := f.srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v, want nil", err)
		}
		w.wantErr(t, "Watch", fileapi.ErrEnding)
	})
}
