package folder_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/examples/share/fetch"
	"github.com/kith-go/kith/examples/share/folder"
	"github.com/kith-go/kith/examples/share/shareapi"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An offered folder, and somebody who calls its methods.
type offered struct {
	*client.Client
	t       *testing.T
	dir     string
	changed chan folder.Summary
}

func offer(t *testing.T, dir string, cfg folder.Config) *offered {
	t.Helper()
	o := &offered{t: t, dir: dir, changed: make(chan folder.Summary, 100)}
	cfg.Changed = func(s folder.Summary) { o.changed <- s }
	f, err := folder.Open(dir, cfg)
	if err != nil {
		t.Fatalf("Open(%q) = %v", dir, err)
	}
	t.Cleanup(func() { _ = f.Close() })
	var h kith.Handlers
	f.Register(&h)
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	tr := memory.New(memory.Config{})
	t.Cleanup(func() { _ = tr.Close() })
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "folder"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(context.Background(), l) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
	if o.Client, err = client.Dial(t.Context(), client.Config{Transport: tr, Addrs: []string{l.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// await waits until so many files are offered.
func (o *offered) await(files int) {
	o.t.Helper()
	o.until(fmt.Sprintf("%d files are", files), func(s folder.Summary) bool { return s.Files == files })
}

// until waits for a change after which something is true.
func (o *offered) until(what string, is func(folder.Summary) bool) {
	o.t.Helper()
	limit := time.After(60 * time.Second)
	for {
		select {
		case s := <-o.changed:
			if is(s) {
				return
			}
		case <-limit:
			o.t.Fatalf("%s not offered after a minute", what)
		}
	}
}

// names returns what is listed.
func (o *offered) names() string {
	o.t.Helper()
	files, err := fetch.List(o.t.Context(), o)
	if err != nil {
		o.t.Fatalf("List = %v", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func hashOf(t *testing.T, text string) shareapi.Hash {
	t.Helper()
	o, err := shareapi.Read(t.Context(), strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return o.Hash()
}

// What is offered are regular files of visible names, and nothing else.
func TestWhatIsOffered(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "b"), "b")
	write(t, filepath.Join(dir, "a", "c"), "c")
	write(t, filepath.Join(dir, "a-b"), "b")
	write(t, filepath.Join(dir, ".hidden"), "x")
	write(t, filepath.Join(dir, ".git", "x"), "x")
	write(t, filepath.Join(other, "secret"), "secret")
	if runtime.GOOS != "windows" {
		write(t, filepath.Join(dir, "bad\nname"), "x")
		for name, to := range map[string]string{"out": filepath.Join(other, "secret"), "in": "b", "dir": other} {
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := offer(t, dir, folder.Config{Rescan: -1, Settle: -1})
	o.await(3)
	if got, want := o.names(), "a-b a/c b"; got != want {
		t.Errorf("List = %q, want %q", got, want)
	}
	f, err := shareapi.Has.Call(t.Context(), o, hashOf(t, "b"))
	if want := (shareapi.File{Hash: hashOf(t, "b"), Size: 1, Name: "a-b"}); f != want || err != nil {
		t.Errorf("Has = %+v, %v, want %+v", f, err, want)
	}
	for _, h := range []shareapi.Hash{hashOf(t, "x"), hashOf(t, "secret"), {}} {
		if _, err := shareapi.Has.Call(t.Context(), o, h); !errors.Is(err, shareapi.ErrNotFound) {
			t.Errorf("Has(%v) = %v, want %v", h, err, shareapi.ErrNotFound)
		}
		if _, err := shareapi.GetOutline.Call(t.Context(), o, h); !errors.Is(err, shareapi.ErrNotFound) {
			t.Errorf("GetOutline(%v) = %v, want %v", h, err, shareapi.ErrNotFound)
		}
	}
	for _, i := range []int{-1, 1, 1 << 30} {
		if _, err := shareapi.GetChunk.Call(t.Context(), o, shareapi.Chunk{Hash: hashOf(t, "b"), Index: i}); !errors.Is(err, shareapi.ErrNotFound) {
			t.Errorf("GetChunk(%d) = %v, want %v", i, err, shareapi.ErrNotFound)
		}
	}
	if p, err := shareapi.GetChunk.Call(t.Context(), o, shareapi.Chunk{Hash: hashOf(t, "c")}); string(p) != "c" || err != nil {
		t.Errorf("GetChunk = %q, %v, want %q", p, err, "c")
	}
}

// New, changed and removed files are noticed.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "old")
	o := offer(t, dir, folder.Config{Rescan: 5 * time.Millisecond, Settle: -1})
	o.await(1)
	write(t, filepath.Join(dir, "b"), "new")
	o.await(2)
	write(t, filepath.Join(dir, "a"), "longer")
	o.until("what a file was changed to is", func(folder.Summary) bool { // it may be seen empty before
		_, err := shareapi.Has.Call(t.Context(), o, hashOf(t, "longer"))
		return err == nil
	})
	if _, err := shareapi.Has.Call(t.Context(), o, hashOf(t, "old")); !errors.Is(err, shareapi.ErrNotFound) {
		t.Errorf("Has(as it was) = %v, want %v", err, shareapi.ErrNotFound)
	}
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	o.await(1)
	if got := o.names(); got != "a" {
		t.Errorf("List = %q, want a", got)
	}
}

// A change that the file system does not show is found when the chunk is read: what
// is sent is what was asked for, or nothing. Then the file is read anew.
func TestChangeUnseen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	write(t, path, "old")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	o := offer(t, dir, folder.Config{Rescan: time.Hour, Settle: -1})
	o.await(1)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("new")
	}
	if err = errors.Join(err, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if p, err := shareapi.GetChunk.Call(t.Context(), o, shareapi.Chunk{Hash: hashOf(t, "old")}); !errors.Is(err, shareapi.ErrNotFound) {
		t.Errorf("GetChunk(old) = %q, %v, want %v", p, err, shareapi.ErrNotFound)
	}
	o.await(1)
	if p, err := shareapi.GetChunk.Call(t.Context(), o, shareapi.Chunk{Hash: hashOf(t, "new")}); string(p) != "new" || err != nil {
		t.Errorf("GetChunk(new) = %q, %v, want new", p, err)
	}
}

// Many files come in pages, and no more than the limit.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	for i := range shareapi.MaxFiles + 1 {
		write(t, filepath.Join(dir, fmt.Sprintf("%05d", i)), "")
	}
	o := offer(t, dir, folder.Config{Rescan: -1, Settle: -1})
	o.await(shareapi.MaxFiles)
	files, err := fetch.List(t.Context(), o)
	if len(files) != shareapi.MaxFiles || err != nil {
		t.Errorf("List has %d files, %v, want %d", len(files), err, shareapi.MaxFiles)
	}
	for i, f := range files {
		if want := fmt.Sprintf("%05d", i); f.Name != want {
			t.Fatalf("file %d is %q, want %q", i, f.Name, want)
		}
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := folder.Open(filepath.Join(t.TempDir(), "none"), folder.Config{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open(none) = %v, want %v", err, fs.ErrNotExist)
	}
}

// A file that was just written waits until it is left alone.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	write(t, filepath.Join(dir, "b"), "b")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a"), old, old); err != nil {
		t.Fatal(err)
	}
	o := offer(t, dir, folder.Config{Rescan: 10 * time.Millisecond, Settle: time.Minute})
	o.await(1)
	if got := o.names(); got != "a" {
		t.Errorf("List = %q, want a", got)
	}
	if err := os.Chtimes(filepath.Join(dir, "b"), old, old); err != nil {
		t.Fatal(err)
	}
	o.await(2)
}
