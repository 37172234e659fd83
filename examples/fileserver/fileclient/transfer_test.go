package fileclient_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// faults calls do at random offsets of a transfer, which go up, and counts.
type faults struct {
	at   []int64
	did  int
	do   func()
	high int64 // how far the transfer ever was
	lost int64 // how much had to be moved once more, in all
	last int64
}

// newFaults plans n faults between the offsets 1 and size.
func newFaults(n int, size int64, do func()) *faults {
	x := &faults{do: do}
	for i := range int64(n) {
		x.at = append(x.at, i*size/int64(n)+1+rand.Int64N(size/int64(n)-mib))
	}
	return x
}

func (x *faults) progress(p fileclient.Progress) {
	if p.Doing != fileclient.Moving {
		return
	}
	if p.Bytes < x.last {
		x.lost += x.last - p.Bytes
	}
	x.last, x.high = p.Bytes, max(x.high, p.Bytes)
	if len(x.at) > 0 && p.Bytes >= x.at[0] {
		x.at = x.at[1:]
		x.did++
		x.do()
	}
}

// A transfer that is cut, or whose server is lost, at random offsets goes on,
// both ways, and moves next to nothing twice.
func TestTransfersGoOn(t *testing.T) {
	const size, cuts = 24*mib + 7, 8
	data, want := content(size)
	for _, fault := range []string{"cut", "restart"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.serve(nil)
				do := f.cut
				if fault == "restart" {
					do = func() {
						f.cut()
						f.stop()
						f.serve(nil)
					}
				}
				x := newFaults(cuts, size, do)
				up := f.client(fileclient.Config{Progress: x.progress})
				got, err := up.Put(t.Context(), f.write(f.own, "a", data), "dir/a")
				if got != want || err != nil || x.did != cuts {
					t.Fatalf("Put with %d faults = %v, %v, want %v", x.did, got, err, want)
				}
				f.wantFile(f.dir, "dir/a", data)

				y := newFaults(cuts, size, do)
				down := f.client(fileclient.Config{Progress: y.progress})
				got, err = down.Get(t.Context(), "dir/a", filepath.Join(f.own, "b"))
				if got != want || err != nil || y.did != cuts {
					t.Fatalf("Get with %d faults = %v, %v, want %v", y.did, got, err, want)
				}
				f.wantFile(f.own, "b", data)
				f.wantPartials(0)
				if x.lost > 0 || y.lost > 0 {
					t.Errorf("%d bytes of the Put and %d of the Get were moved twice, want 0: what has arrived is kept", x.lost, y.lost)
				}
			})
		})
	}
}

// What one process began, a later one goes on with.
func TestTransfersGoOnLater(t *testing.T) {
	const size = 6 * mib
	data, want := content(size)
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(nil)
		path := f.write(f.own, "a", data)
		for _, move := range []func(context.Context, *fileclient.Client) (fileapi.Content, error){
			func(ctx context.Context, c *fileclient.Client) (fileapi.Content, error) { return c.Put(ctx, path, "a") },
			func(ctx context.Context, c *fileclient.Client) (fileapi.Content, error) {
				return c.Get(ctx, "a", filepath.Join(f.own, "b"))
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			x := newFaults(1, size/2, cancel)
			if got, err := move(ctx, f.client(fileclient.Config{Progress: x.progress})); !errors.Is(err, context.Canceled) {
				t.Errorf("transfer whose ctx ends = %v, %v, want %v", got, err, context.Canceled)
			}
			var first int64 = -1
			c := f.client(fileclient.Config{Progress: func(p fileclient.Progress) {
				if p.Doing == fileclient.Moving && first < 0 {
					first = p.Bytes
				}
			}})
			if got, err := move(t.Context(), c); got != want || err != nil || first < x.high {
				t.Errorf("transfer once more = %v, %v from %d on, want %v from at least %d", got, err, first, want, x.high)
			}
		}
		f.wantFile(f.dir, "a", data)
		f.wantFile(f.own, "b", data)
		// What is there already is not moved at all.
		c := f.client(fileclient.Config{})
		f.cut()
		if got, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); got != want || err != nil {
			t.Errorf("Get of what is there = %v, %v, want %v", got, err, want)
		}
		f.wantPartials(0)
	})
}

// The name of a file may be as long as the file system takes.
func TestLongName(t *testing.T) {
	f := newFixture(t)
	f.serve(nil)
	name := strings.Repeat("é", 127)
	data, want := content(1000)
	c := f.client(fileclient.Config{})
	if got, err := c.Put(t.Context(), f.write(f.own, "a", data), name); got != want || err != nil {
		t.Errorf("Put(long name) = %v, %v, want %v", got, err, want)
	}
	if got, err := c.Get(t.Context(), name, filepath.Join(f.own, name)); got != want || err != nil {
		t.Errorf("Get(long name) = %v, %v, want %v", got, err, want)
	}
	f.wantFile(f.own, name, data)
	f.wantPartials(0)
}

func TestEmptyFile(t *testing.T) {
	f := newFixture(t)
	f.serve(nil)
	c := f.client(fileclient.Config{})
	_, want := content(0)
	if got, err := c.Put(t.Context(), f.write(f.own, "a", nil), "a"); got != want || err != nil {
		t.Errorf("Put(empty) = %v, %v, want %v", got, err, want)
	}
	if got, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); got != want || err != nil {
		t.Errorf("Get(empty) = %v, %v, want %v", got, err, want)
	}
	f.wantFile(f.own, "b", nil)
}

// Without a server, a transfer gives up in the end; where nothing can help, at
// once.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		path := f.write(f.own, "a", []byte("text"))
		tries := 0
		c := f.client(fileclient.Config{Retry: 30 * time.Second, Retrying: func(error) { tries++ }})
		start := time.Now()
		_, err := c.Put(t.Context(), path, "a")
		if took := time.Since(start); !errors.Is(err, fileclient.ErrGaveUp) || took < 30*time.Second || took > 70*time.Second {
			t.Errorf("Put without a server = %v after %v, want %v after 30s or so", err, took, fileclient.ErrGaveUp)
		}
		if tries < 10 || tries > 200 {
			t.Errorf("it was tried %d times, want between 10 and 200", tries)
		}

		f.admit = admit.Pins(kith.NewKey().ID()) // somebody else
		f.serve(nil)
		start = time.Now()
		if _, err = f.client(fileclient.Config{}).Put(t.Context(), path, "a"); !errors.Is(err, admit.ErrRefused) || time.Since(start) > time.Second {
			t.Errorf("Put that is refused = %v after %v, want %v at once", err, time.Since(start), admit.ErrRefused)
		}
		f.key = kith.NewKey() // not the one that serves
		var other *transport.PeerError
		if _, err = f.client(fileclient.Config{}).Get(t.Context(), "a", path); !errors.As(err, &other) || time.Since(start) > time.Second {
			t.Errorf("Get from somebody else = %v after %v, want a PeerError at once", err, time.Since(start))
		}
	})
}

func TestRefusedHere(t *testing.T) {
	f := newFixture(t) // no server: nothing of this gets as far
	c := f.client(fileclient.Config{})
	ctx := t.Context()
	for what, err := range map[string]error{
		"put of a directory":   second(c.Put(ctx, f.own, "a")),
		"put of what is none":  second(c.Put(ctx, filepath.Join(f.own, "none"), "a")),
		"put as a bad name":    second(c.Put(ctx, f.write(f.own, "a", nil), "../a")),
		"get of a bad name":    second(c.Get(ctx, "/a", filepath.Join(f.own, "a"))),
		"get to a directory":   second(c.Get(ctx, "a", f.own)),
		"removal of a bad one": c.Remove(ctx, ""),
	} {
		if err == nil || errors.Is(err, fileclient.ErrGaveUp) {
			t.Errorf("%s = %v, want an error of this side", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A rate is kept, but for a piece at the beginning of each attempt; what a cut
// costs is not made up for.
func TestRate(t *testing.T) {
	data, want := content(4 * mib)
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(nil)
		x := newFaults(1, 2*mib+2, f.cut)
		c := f.client(fileclient.Config{Rate: mib, Progress: x.progress})
		start := time.Now()
		if got, err := c.Put(t.Context(), f.write(f.own, "a", data), "a"); got != want || err != nil {
			t.Fatalf("Put = %v, %v, want %v", got, err, want)
		}
		if took := time.Since(start); took < 3400*time.Millisecond || took > 6*time.Second {
			t.Errorf("Put of 4 MiB at 1 MiB/s took %v, want 4s and a bit", took)
		}
		start = time.Now()
		if got, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); got != want || err != nil {
			t.Fatalf("Get = %v, %v, want %v", got, err, want)
		}
		if took := time.Since(start); took < 3400*time.Millisecond || took > 6*time.Second {
			t.Errorf("Get of 4 MiB at 1 MiB/s took %v, want 4s and a bit", took)
		}
	})
}

// Partials of other contents go, one that is damaged is fetched anew, and one
// that somebody works on is left to them.
func TestPartials(t *testing.T) {
	f := newFixture(t)
	f.serve(nil)
	data, want := content(2 * mib)
	_, old := content(5)
	f.write(f.dir, "a", data)
	f.write(f.own, partialName("b", old), []byte("1234"))
	f.write(f.own, partialName("b", want), make([]byte, mib))
	f.write(f.own, "b.mine.partial", nil) // not one of these, but the user's
	c := f.client(fileclient.Config{})
	if got, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); got != want || err != nil {
		t.Errorf("Get over damage = %v, %v, want %v", got, err, want)
	}
	f.wantFile(f.own, "b", data)
	f.wantPartials(1)

	_ = os.Remove(filepath.Join(f.own, "b"))
	busy, err := os.OpenFile(filepath.Join(f.own, partialName("b", want)), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	if err := disk.Lock(busy); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.Open(busy.Name()); again != nil && disk.Lock(again) == nil {
		_ = again.Close()
		t.Skip("this system has no locks")
	}
	if _, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("Get of what another process gets = %v, want %v", err, disk.ErrLocked)
	}
}

// A file that changes on the server while it is fetched is fetched anew.
func TestGetOfWhatChanges(t *testing.T) {
	const size = 8 * mib
	first, _ := content(size)
	then, want := content(size + 1)
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(nil)
		f.write(f.dir, "a", first)
		x := newFaults(1, size/2, func() {
			f.write(f.dir, "new", then)
			if err := os.Rename(filepath.Join(f.dir, "new"), filepath.Join(f.dir, "a")); err != nil {
				t.Error(err)
			}
			f.cut()
		})
		c := f.client(fileclient.Config{Progress: x.progress})
		if got, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); got != want || err != nil {
			t.Errorf("Get of what changes = %v, %v, want %v", got, err, want)
		}
		f.wantFile(f.own, "b", then)
		f.wantPartials(0)
	})
}

// A file that changes here while it is put is not stored.
func TestPutOfWhatChanges(t *testing.T) {
	data, _ := content(8 * mib)
	for what, change := range map[string]func(path string) error{
		"other bytes": func(path string) error { return os.WriteFile(path, make([]byte, len(data)), 0o644) },
		"shorter":     func(path string) error { return os.Truncate(path, mib) },
	} {
		f := newFixture(t)
		f.serve(nil)
		path := f.write(f.own, "a", data)
		var once bool
		c := f.client(fileclient.Config{Progress: func(p fileclient.Progress) {
			if p.Doing == fileclient.Moving && !once {
				once = true
				if err := change(path); err != nil {
					t.Error(err)
				}
			}
		}})
		_, err := c.Put(t.Context(), path, "a")
		if !errors.Is(err, fileapi.ErrDamaged) && (err == nil || !strings.Contains(err.Error(), "shorter")) {
			t.Errorf("Put of a file that gets %s = %v, want an error that says so", what, err)
		}
		if _, err := os.Stat(filepath.Join(f.dir, "a")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat of what was put = %v, want %v", err, fs.ErrNotExist)
		}
	}
}

func TestProgressToTheEnd(t *testing.T) {
	f := newFixture(t)
	f.serve(nil)
	data, _ := content(3*mib + 1)
	var last string
	c := f.client(fileclient.Config{Progress: func(p fileclient.Progress) {
		last = fmt.Sprintf("%s %s %d of %d", p.Name, p.Doing, p.Bytes, p.Size)
	}})
	const want = "a moving 3145729 of 3145729"
	for range 2 { // the second time it is there
		if _, err := c.Put(t.Context(), f.write(f.own, "a", data), "a"); err != nil || last != want {
			t.Errorf("Put ends at %q, %v, want %q", last, err, want)
		}
	}
	last = ""
	if _, err := c.Get(t.Context(), "a", filepath.Join(f.own, "b")); err != nil || last != want {
		t.Errorf("Get ends at %q, %v, want %q", last, err, want)
	}
}
