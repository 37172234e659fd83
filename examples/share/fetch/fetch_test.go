package fetch_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/fetch"
	"github.com/kith-go/kith/examples/share/shareapi"
	"github.com/kith-go/kith/transport/memory"
)

const mib = 1 << 20

// All who have it give a part of it.
func TestSeveral(t *testing.T) {
	for _, size := range []int{0, 1, shareapi.MinChunk, 12*mib + 1} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p, o := content(t, size)
			a, b, c := r.offer("a", p), r.offer("b", p), r.offer("c", p)
			res, err := r.get(t.Context(), r.config(r.guest()), o.Hash())
			if err != nil {
				t.Fatalf("get of %d bytes = %v", size, err)
			}
			r.check(p)
			if size > 12*mib && (res.Got[a] == 0 || res.Got[b] == 0 || res.Got[c] == 0) {
				t.Errorf("got %v, want something from each", res.Got)
			}
			if sum := res.Got[a] + res.Got[b] + res.Got[c]; sum != int64(size) {
				t.Errorf("got %v, want %d bytes in all", res.Got, size)
			}
		})
	}
}

// halfway calls f once, when half of a content has come.
func halfway(cfg fetch.Config, f func()) fetch.Config {
	cfg.Progress = func(have, size int64) {
		if f != nil && have > size/2 {
			f()
			f = nil
		}
	}
	return cfg
}

// When holders die in mid-transfer, the others go on; without waiting for those who
// die silently.
func TestHoldersDie(t *testing.T) {
	for how, death := range map[string]memory.Death{"silently": memory.Silently, "with a reset": memory.WithReset} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p, o := content(t, 16*mib)
			a, b, c := r.offer("a", p), r.offer("b", p), r.offer("c", p)
			begin := time.Now()
			res, err := r.get(t.Context(), halfway(r.config(r.guest()), func() {
				r.net.Down("a", death)
				r.net.Down("b", death)
			}), o.Hash())
			if err != nil {
				t.Fatalf("get while two die %s = %v", how, err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("get while two die %s took %v, want less than the silence bound", how, took)
			}
			r.check(p)
			if res.Got[a] == 0 || res.Got[b] == 0 || res.Got[c] < res.Got[a] {
				t.Errorf("got %v, want something from each, and the rest from %v", res.Got, c)
			}
		})
	}
}

// When the only holder dies, a transfer waits for another.
func TestLaterHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 4*mib)
		a, later := r.offer("a", p), kith.NewKey()
		r.announce(later, "b")
		cfg := r.config(r.guest())
		cfg.Patience = time.Hour
		res, err := r.get(t.Context(), halfway(cfg, func() {
			r.net.Down("a", memory.Silently)
			r.offerAs(later, "b", p)
		}), o.Hash())
		if err != nil {
			t.Fatalf("get = %v", err)
		}
		r.check(p)
		if got := res.Got[later.ID()]; res.Got[a] == 0 || got == 0 {
			t.Errorf("got %v, want something from each", res.Got)
		}
	})
}

// When the only holder dies and there is no other, a transfer ends, and keeps what it has.
func TestNoOtherHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 4*mib)
		r.offer("a", p)
		_, err := r.get(t.Context(), halfway(r.config(r.guest()), func() { r.net.Down("a", memory.WithReset) }), o.Hash())
		if !errors.Is(err, fetch.ErrNobody) {
			t.Errorf("get = %v, want %v", err, fetch.ErrNobody)
		}
		if _, err := os.Stat(r.path()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat = %v, want %v", err, fs.ErrNotExist)
		}
		if partials, _ := filepath.Glob(filepath.Join(r.own, ".got.*.partial")); len(partials) != 1 {
			t.Errorf("there are %v, want a partial", partials)
		}
	})
}

// One who answers nothing holds nobody up.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 4*mib)
		a := r.offer("a", p)
		r.serve("stuck", pretend(o, func(ctx context.Context, _ shareapi.Chunk) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		begin := time.Now()
		res, err := r.get(t.Context(), r.config(r.guest()), o.Hash())
		if err != nil || res.Got[a] != 4*mib {
			t.Fatalf("get = %v, %v, want all from %v", res, err, a)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("get took %v, want no waiting", took)
		}
		r.check(p)
	})
}

// pretend returns handlers of somebody who says that he has a content.
func pretend(o *shareapi.Outline, chunk func(context.Context, shareapi.Chunk) ([]byte, error)) *kith.Handlers {
	var h kith.Handlers
	shareapi.Has.Handle(&h, func(_ context.Context, hash shareapi.Hash) (shareapi.File, error) {
		return shareapi.File{Hash: hash, Size: 1, Name: "file"}, nil
	})
	shareapi.GetOutline.Handle(&h, func(context.Context, shareapi.Hash) ([]byte, error) { return o.Encoded(), nil })
	shareapi.GetChunk.Handle(&h, chunk)
	return &h
}

// Who sends something else is found out, and not asked again.
func TestLiars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 4*mib)
		other, _ := content(t, 4*mib-1)
		wrong := r.serve("wrong", pretend(o, func(context.Context, shareapi.Chunk) ([]byte, error) { return other[:shareapi.MinChunk], nil }))
		long := r.serve("long", pretend(o, func(context.Context, shareapi.Chunk) ([]byte, error) { return other[:2*shareapi.MinChunk], nil }))
		a := r.offer("a", p)
		res, err := r.get(t.Context(), r.config(r.guest()), o.Hash())
		if err != nil || res.Got[a] != 4*mib {
			t.Fatalf("get = %v, %v, want all from %v", res, err, a)
		}
		r.check(p)
		for what, id := range map[string]kith.ID{"wrong": wrong, "long": long} {
			if !r.wasLost(id, fetch.ErrWrong) {
				t.Errorf("the one that sends %s chunks is not found out", what)
			}
		}
	})
}

// With nobody else, a liar makes a get fail, and no file.
func TestOnlyALiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		_, o := content(t, 4*mib)
		_, other := content(t, mib)
		id := r.serve("liar", pretend(other, func(context.Context, shareapi.Chunk) ([]byte, error) { return nil, nil }))
		begin := time.Now()
		if _, err := r.get(t.Context(), r.config(r.guest()), o.Hash()); !errors.Is(err, fetch.ErrNobody) {
			t.Errorf("get = %v, want %v", err, fetch.ErrNobody)
		}
		if took := time.Since(begin); took < 30*time.Second || took > 40*time.Second {
			t.Errorf("get took %v, want its patience of 30s", took)
		}
		if !r.wasLost(id, fetch.ErrWrong) {
			t.Error("the liar is not found out")
		}
		if left, _ := os.ReadDir(r.own); len(left) > 0 {
			t.Errorf("there are %v, want nothing", left)
		}
	})
}

// A get that was cut goes on with what it had, and trusts none of it.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 8*mib)
		r.offer("a", p)
		g := r.guest()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := r.get(ctx, halfway(r.config(g), cancel), o.Hash()); !errors.Is(err, context.Canceled) {
			t.Fatalf("get that is cancelled = %v, want %v", err, context.Canceled)
		}
		partials, err := filepath.Glob(filepath.Join(r.own, ".got.*.partial"))
		if len(partials) != 1 || err != nil {
			t.Fatalf("there are %v, %v, want a partial", partials, err)
		}
		f, err := os.OpenFile(partials[0], os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("damage"), shareapi.MinChunk/2) // the first chunk
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		res, err := r.get(t.Context(), r.config(g), o.Hash())
		if err != nil || res.Had < 3*mib || res.Had > 7*mib {
			t.Errorf("get = %+v, %v, want to have had about half", res, err)
		}
		r.check(p)
	})
}

// What is there stays, unless it is to be replaced.
func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 1000)
		r.offer("a", p)
		g := r.guest()
		if err := os.WriteFile(r.path(), []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := r.get(t.Context(), r.config(g), o.Hash()); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Save = %v, want %v", err, fs.ErrExist)
		}
		r.check([]byte("old"))
		f, err := fetch.Find(t.Context(), r.config(g), o.Hash())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := f.File(), (shareapi.File{Hash: o.Hash(), Size: 1000, Name: "file"}); got != want {
			t.Errorf("File() = %+v, want %+v", got, want)
		}
		if _, err := f.Save(t.Context(), fetch.Target{Path: r.path(), Replace: true}); err != nil {
			t.Errorf("Save = %v, want nil", err)
		}
		r.check(p)
	})
}

// The rate is kept.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, o := content(t, 4*mib)
		r.offer("a", p)
		cfg := r.config(r.guest())
		cfg.Rate = mib / 2
		begin := time.Now()
		if _, err := r.get(t.Context(), cfg, o.Hash()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 7*time.Second || took > 10*time.Second {
			t.Errorf("4 MiB at 0.5 MiB/s took %v, want about 8s", took)
		}
	})
}

// Lists that break the rules end, whatever they say.
func TestListOfALiar(t *testing.T) {
	for what, answer := range map[string]func(shareapi.Page) shareapi.Listing{
		"endless, the same": func(shareapi.Page) shareapi.Listing {
			return shareapi.Listing{Files: []shareapi.File{{Name: "a"}}, More: true}
		},
		"endless, of nothing": func(shareapi.Page) shareapi.Listing { return shareapi.Listing{More: true} },
		"names that go out":   func(shareapi.Page) shareapi.Listing { return shareapi.Listing{Files: []shareapi.File{{Name: "../a"}}} },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			var h kith.Handlers
			shareapi.List.Handle(&h, func(_ context.Context, p shareapi.Page) (shareapi.Listing, error) { return answer(p), nil })
			id := r.serve("liar", &h)
			if _, err := fetch.List(t.Context(), r.guest().Peer(id)); !errors.Is(err, fetch.ErrListing) {
				t.Errorf("List of %s = %v, want %v", what, err, fetch.ErrListing)
			}
		})
	}
}
