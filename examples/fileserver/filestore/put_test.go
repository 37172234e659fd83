package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/filestore"
)

// send begins a Put and sends the first n bytes that the server lacks, which
// it has then.
func (f *fixture) send(c kith.Caller, u fileapi.Upload, data []byte, n int) *kith.Duplex[[]byte, fileapi.Held] {
	f.t.Helper()
	d, held, err := begin(f.t.Context(), c, u)
	if err != nil || held.Done {
		f.t.Fatalf("Put(%q) = %v, %v, want to begin", u.Name, held, err)
	}
	f.t.Cleanup(func() { _ = d.Close() })
	// The server tells every MiB.
	for rest := data[held.Bytes:][:n]; len(rest) > 0; rest = rest[min(len(rest), 64<<10):] {
		if err := d.Send(rest[:min(len(rest), 64<<10)]); err != nil {
			f.t.Fatalf("Send = %v", err)
		}
	}
	for want := held.Bytes + int64(n); held.Bytes < want; {
		if held, err = d.Recv(); err != nil {
			f.t.Fatalf("Recv = %v", err)
		}
	}
	return d
}

const mib = 1 << 20

func TestPutGoesOn(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c, ctx := f.client(), t.Context()
	data, want := content(4*mib + 5)
	u := fileapi.Upload{Name: "a", Content: want}
	d := f.send(c, u, data, 2*mib)
	if _, err := os.Stat(filepath.Join(f.dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of a file on its way = %v, want %v", err, fs.ErrNotExist)
	}
	_ = d.Close()
	d, held, err := begin(ctx, c, u)
	if held.Bytes != 2*mib || err != nil {
		t.Fatalf("Put again begins at %v, %v, want %d", held, err, 2*mib)
	}
	_ = d.Close()
	// Another content, or another name, begins at its own beginning.
	other, w := content(3 * mib)
	for _, o := range []fileapi.Upload{{Name: "a", Content: w}, {Name: "b", Content: want}} {
		d, held, err := begin(ctx, c, o)
		if held.Bytes != 0 || err != nil {
			t.Errorf("Put(%v) begins at %v, %v, want 0", o, held, err)
		}
		_ = d.Close()
	}
	if held, err := put(ctx, c, u, data); !held.Done || err != nil {
		t.Errorf("Put(a) = %v, %v, want it done", held, err)
	}
	if held, err := put(ctx, c, u, nil); !held.Done || err != nil {
		t.Errorf("Put(a) of what is there = %v, %v, want it done with nothing sent", held, err)
	}
	if held, err := put(ctx, c, fileapi.Upload{Name: "a", Content: w}, other); !held.Done || err != nil {
		t.Errorf("Put(a) of another content = %v, %v, want it done", held, err)
	}
	if got, err := os.ReadFile(filepath.Join(f.dir, "a")); !bytes.Equal(got, other) || err != nil {
		t.Errorf("a has %d bytes, %v, want the %d that were put last", len(got), err, len(other))
	}
}

// A client that comes again takes over from itself; another has to wait.
func TestPutTakesOver(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c := f.client()
	data, want := content(4 * mib)
	u := fileapi.Upload{Name: "a", Content: want}
	first := f.send(c, u, data, mib)
	if _, held, err := begin(t.Context(), f.client(), u); !errors.Is(err, fileapi.ErrBusy) {
		t.Errorf("Put by another client = %v, %v, want %v", held, err, fileapi.ErrBusy)
	}
	second := f.send(c, u, data, mib) // goes on where the first is
	_ = first.Send(data[mib : mib+10])
	if held, err := first.Recv(); !errors.Is(err, fileapi.ErrSuperseded) {
		t.Errorf("Recv of the first Put = %v, %v, want %v", held, err, fileapi.ErrSuperseded)
	}
	_ = first.Close()
	_ = second.Close()
	if held, err := put(t.Context(), c, u, data); !held.Done || err != nil {
		t.Errorf("Put(a) = %v, %v, want it done", held, err)
	}
}

func TestPutRefuses(t *testing.T) {
	f := newFixture(t, filestore.Config{MaxSize: mib})
	c, ctx := f.client(), t.Context()
	data, want := content(1000)
	other, _ := content(999)
	for _, tt := range []struct {
		what     string
		u        fileapi.Upload
		data     []byte
		want     error
		partials int // that are kept
	}{
		{"too large", fileapi.Upload{Name: "a", Content: fileapi.Content{Size: mib + 1}}, nil, fileapi.ErrTooLarge, 0},
		{"other bytes", fileapi.Upload{Name: "a", Content: want}, append(other, 0), fileapi.ErrDamaged, 0},
		{"too many", fileapi.Upload{Name: "a", Content: want}, append(data, 0), fileapi.ErrRequest, 0},
		{"too few", fileapi.Upload{Name: "a", Content: want}, data[:999], fileapi.ErrRequest, 1},
	} {
		if held, err := put(ctx, c, tt.u, tt.data); !errors.Is(err, tt.want) {
			t.Errorf("Put(%s) = %v, %v, want %v", tt.what, held, err, tt.want)
		}
		if n := f.partials(); n != tt.partials {
			t.Errorf("after %s there are %d partials, want %d", tt.what, n, tt.partials)
		}
	}
	d, err := fileapi.Put.Call(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Recv(); !errors.Is(err, fileapi.ErrRequest) {
		t.Errorf("Put(no metadata) = %v, want %v", err, fileapi.ErrRequest)
	}
	if got, err := list(ctx, c, ""); got != "" || err != nil {
		t.Errorf("List() = %q, %v, want nothing", got, err)
	}
}

// What was damaged on the disk is found out, and not kept.
func TestPutOverDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, filestore.Config{})
		c := f.client()
		data, want := content(2 * mib)
		u := fileapi.Upload{Name: "a", Content: want}
		_ = f.send(c, u, data, mib).Close()
		synctest.Wait() // its handler has ended
		paths, err := filepath.Glob(filepath.Join(f.dir, fileapi.TempDir, "????????????????*"))
		if len(paths) != 1 || err != nil {
			t.Fatalf("there are partials %v, %v, want one", paths, err)
		}
		if err := os.WriteFile(paths[0], make([]byte, mib), 0o600); err != nil {
			t.Fatal(err)
		}
		if held, err := put(t.Context(), c, u, data); !errors.Is(err, fileapi.ErrDamaged) {
			t.Errorf("Put over damage = %v, %v, want %v", held, err, fileapi.ErrDamaged)
		}
		if held, err := put(t.Context(), c, u, data); !held.Done || err != nil {
			t.Errorf("Put once more = %v, %v, want it done", held, err)
		}
	})
}

// A full disk is said in words, and what was held makes room for others.
func TestDiskFull(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	var mu sync.Mutex
	left := 100_000
	f.store.SetWrite(func(file *os.File, p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		n, err := file.Write(p[:min(len(p), left)])
		if left -= n; err == nil && n < len(p) {
			err = &fs.PathError{Op: "write", Path: file.Name(), Err: syscall.ENOSPC}
		}
		return n, err
	})
	c := f.client()
	data, want := content(mib)
	u := fileapi.Upload{Name: "a", Content: want}
	held, err := put(t.Context(), c, u, data)
	if !errors.Is(err, fileapi.ErrDiskFull) || kith.CodeOf(err) != kith.ResourceExhausted || !kith.Remote(err) {
		t.Errorf("Put on a full disk = %v, %v, want a remote %v", held, err, fileapi.ErrDiskFull)
	}
	if n := f.partials(); n != 0 {
		t.Errorf("%d partials are left, want 0", n)
	}
	mu.Lock()
	left = 10 * mib
	mu.Unlock()
	if held, err := put(t.Context(), c, u, data); !held.Done || err != nil {
		t.Errorf("Put when there is room = %v, %v, want it done", held, err)
	}
}

// A directory that cannot be written to is served to readers. See TestReadOnly
// of the program for one where this does not have to be skipped.
func TestReadOnly(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("root writes everywhere, and on Windows modes say nothing")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	s, err := filestore.Open(dir, filestore.Config{})
	if err != nil {
		t.Fatalf("Open(read-only) = %v, want nil", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
}

// Many clients put and get at the same time: whatever is got is whole.
func TestManyAtOnce(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	ctx := t.Context()
	var bodies [4][]byte
	var contents [4]fileapi.Content
	for i := range bodies {
		bodies[i], contents[i] = content(300_000 + i)
	}
	const clients, rounds = 6, 12
	var all sync.WaitGroup
	for i := range clients {
		c := f.client()
		all.Go(func() {
			for j := range rounds {
				k := (i + j) % len(bodies)
				u := fileapi.Upload{Name: fmt.Sprintf("d/%d", j%2), Content: contents[k]}
				if held, err := put(ctx, c, u, bodies[k]); (!held.Done || err != nil) && !errors.Is(err, fileapi.ErrBusy) {
					t.Errorf("Put(%q, %d) = %v, %v, want it done or busy", u.Name, k, held, err)
				}
				file, err := fileapi.Stat.Call(ctx, c, u.Name)
				if err != nil && !errors.Is(err, fileapi.ErrChanged) && !errors.Is(err, fileapi.ErrNotFound) {
					t.Errorf("Stat(%q) = %v", u.Name, err)
				}
				if err != nil {
					continue
				}
				got, err := get(ctx, c, fileapi.Range{Name: u.Name, Content: file.Content})
				if whole := bodies[file.Size-300_000]; err == nil && !bytes.Equal(got, whole) || err != nil && !errors.Is(err, fileapi.ErrChanged) {
					t.Errorf("Get(%q) = %d bytes, %v, want %d", u.Name, len(got), err, len(whole))
				}
			}
		})
	}
	all.Wait()
	if n := f.partials(); n != 0 {
		t.Errorf("%d partials are left, want 0", n)
	}
}

// What nobody continues is removed after a while, what somebody works on stays.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, filestore.Config{Keep: 24 * time.Hour})
		c := f.client()
		data, want := content(2 * mib)
		_ = f.send(c, fileapi.Upload{Name: "left", Content: want}, data, mib).Close()
		f.send(c, fileapi.Upload{Name: "open", Content: want}, data, mib)
		synctest.Wait()
		if n := f.partials(); n != 2 {
			t.Errorf("%d partials at first, want 2", n)
		}
		// The files have times of the world outside of the bubble, which is in
		// the year 2000: both are young until they are made old.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := f.partials(); n != 2 {
			t.Errorf("%d partials while they are young, want 2", n)
		}
		paths, err := filepath.Glob(filepath.Join(f.dir, fileapi.TempDir, "*"))
		for _, p := range paths {
			err = errors.Join(err, os.Chtimes(p, time.Time{}, time.Now().Add(-25*time.Hour)))
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := f.partials(); n != 1 {
			t.Errorf("%d partials when they are old, want the 1 that somebody works on", n)
		}
	})
}
