package fileclient_test

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

	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
)

// events collects what a Watch tells. It is used in a bubble.
type events struct {
	mu  sync.Mutex
	got []string // guarded by mu
	err error    // guarded by mu
}

func (e *events) watchHandler(ctx context.Context, c *fileclient.Client, snapshot bool) {
	for ev, err := range c.Watch(ctx, "", snapshot) {
		e.mu.Lock()
		if e.err = err; err == nil {
			e.got = append(e.got, strings.TrimSpace(fmt.Sprintf("%s %s", ev.Change, ev.File.Name)))
		}
		e.mu.Unlock()
	}
}

func (e *events) want(t *testing.T, what string, want ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.got, want) {
		t.Errorf("after %s the events are %q, want %q", what, e.got, want)
	}
	e.got = nil
}

// A watch goes on with another server, and tells what was missed.
func TestWatchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(nil)
		f.write(f.dir, "a", []byte("1"))
		f.write(f.dir, "b", []byte("1"))
		ctx, cancel := context.WithCancel(t.Context())
		var news, all events
		go news.watchHandler(ctx, f.client(fileclient.Config{}), false)
		go all.watchHandler(ctx, f.client(fileclient.Config{}), true)
		news.want(t, "the start", "ready")
		all.want(t, "the start", "present a", "present b", "ready")

		f.cut()
		time.Sleep(10 * time.Second)
		news.want(t, "a cut")
		f.stop()
		f.write(f.dir, "b", []byte("22"))
		f.write(f.dir, "c", nil)
		if err := os.Remove(filepath.Join(f.dir, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		news.want(t, "the end of the server")
		f.serve(nil)
		time.Sleep(40 * time.Second) // the client waits 30 s at most
		for _, e := range []*events{&news, &all} {
			e.want(t, "a new server", "removed a", "changed b", "added c")
		}
		f.write(f.dir, "d", nil)
		time.Sleep(3 * time.Second)
		news.want(t, "a new file", "added d")
		all.want(t, "a new file", "added d")
		cancel()
		synctest.Wait()
		if !errors.Is(news.err, context.Canceled) {
			t.Errorf("Watch ends with %v, want %v", news.err, context.Canceled)
		}
	})
}

func TestWatchBreak(t *testing.T) {
	f := newFixture(t)
	f.serve(nil)
	for e, err := range f.client(fileclient.Config{}).Watch(t.Context(), "", false) {
		if e.Change != fileapi.Ready || err != nil {
			t.Errorf("Watch = %v, %v, want it ready", e, err)
		}
		break
	}
}

func TestList(t *testing.T) {
	f := newFixture(t)
	f.serve(nil)
	f.write(f.dir, "a", nil)
	for file, err := range f.client(fileclient.Config{}).List(t.Context(), "") {
		if file.Name != "a" || err != nil {
			t.Errorf("List = %v, %v, want a", file, err)
		}
	}
	for _, err := range f.client(fileclient.Config{}).List(t.Context(), "..") {
		if !errors.Is(err, fileapi.ErrName) {
			t.Errorf("List(..) = %v, want %v", err, fileapi.ErrName)
		}
	}
}
