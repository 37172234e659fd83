package filestore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/filestore"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is a Store that is served in memory.
type fixture struct {
	t     *testing.T
	dir   string
	store *filestore.Store
	srv   *server.Server
	net   *memory.Network
	addr  string
}

func newFixture(t *testing.T, cfg filestore.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), net: memory.NewNetwork(memory.NetworkConfig{})}
	var err error
	if f.store, err = filestore.Open(f.dir, cfg); err != nil {
		t.Fatal(err)
	}
	var h kith.Handlers
	f.store.Register(&h)
	if f.srv, err = server.New(server.Config{Handlers: &h, Admit: admit.Anyone()}); err != nil {
		t.Fatal(err)
	}
	tr := f.net.Transport(memory.Config{Host: "server"})
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "server"})
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- f.srv.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		_ = f.srv.Shutdown(context.Background())
		<-served
		if n := f.store.Uploads(); n != 0 {
			t.Errorf("%d uploads are open at the end, want 0", n)
		}
		if err := f.store.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		_ = f.net.Close()
	})
	return f
}

// client returns a new client with an identity of its own.
func (f *fixture) client() kith.Caller { return f.clientAt(memory.Config{}) }

func (f *fixture) clientAt(cfg memory.Config) kith.Caller {
	f.t.Helper()
	c, err := client.New(client.Config{Transport: f.net.Transport(cfg), Addrs: []string{f.addr}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// content returns random bytes, and what they are to the server.
func content(n int) ([]byte, fileapi.Content) {
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = rng.Read(data)
	return data, fileapi.Content{Size: int64(n), SHA256: sha256.Sum256(data)}
}

// begin starts a Put, and returns how much the server holds.
func begin(ctx context.Context, c kith.Caller, u fileapi.Upload) (*kith.Duplex[[]byte, fileapi.Held], fileapi.Held, error) {
	d, err := fileapi.Put.Call(ctx, c, kith.WithMetadata(u.Metadata()))
	if err != nil {
		return nil, fileapi.Held{}, err
	}
	held, err := d.Recv()
	if err != nil {
		_ = d.Close()
	}
	return d, held, err
}

// put stores data as u says, and returns the last that the server said.
func put(ctx context.Context, c kith.Caller, u fileapi.Upload, data []byte) (fileapi.Held, error) {
	d, held, err := begin(ctx, c, u)
	if err != nil || held.Done {
		return held, err
	}
	defer d.Close()
	for rest := data[held.Bytes:]; len(rest) > 0; {
		n := min(len(rest), 10_000)
		if d.Send(rest[:n]) != nil {
			break
		}
		rest = rest[n:]
	}
	_ = d.CloseSend()
	for {
		next, err := d.Recv()
		if err == io.EOF {
			return held, nil
		}
		if err != nil {
			return held, err
		}
		held = next
	}
}

func get(ctx context.Context, c kith.Caller, r fileapi.Range) ([]byte, error) {
	var data []byte
	for p, err := range fileapi.Get.Call(ctx, c, r) {
		if err != nil {
			return data, err
		}
		data = append(data, p...)
	}
	return data, nil
}

func list(ctx context.Context, c kith.Caller, prefix string) (string, error) {
	var names []string
	for f, err := range fileapi.List.Call(ctx, c, prefix) {
		if err != nil {
			return "", err
		}
		names = append(names, f.Name)
	}
	return strings.Join(names, " "), nil
}

// partials returns how many files are on their way.
func (f *fixture) partials() int {
	f.t.Helper()
	entries, err := os.ReadDir(filepath.Join(f.dir, fileapi.TempDir))
	if err != nil {
		f.t.Fatal(err)
	}
	return len(entries) - 1 // the lock
}

// write makes a file without the Store.
func (f *fixture) write(name string, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		f.t.Fatal(err)
	}
}

func TestPutGetListRemove(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c, ctx := f.client(), t.Context()
	for name, n := range map[string]int{"a": 0, "b": 1, "d/e/f": 3_000_001, "d/e.txt": 700_000} {
		data, want := content(n)
		if held, err := put(ctx, c, fileapi.Upload{Name: name, Content: want}, data); !held.Done || err != nil {
			t.Fatalf("Put(%q) = %v, %v, want it done", name, held, err)
		}
		file, err := fileapi.Stat.Call(ctx, c, name)
		if file.Name != name || file.Content != want || file.Modified.IsZero() || err != nil {
			t.Errorf("Stat(%q) = %v, %v, want %v", name, file, err, want)
		}
		for _, from := range []int{0, n / 3, n} {
			got, err := get(ctx, c, fileapi.Range{Name: name, Content: want, Offset: int64(from)})
			if !bytes.Equal(got, data[from:]) || err != nil {
				t.Errorf("Get(%q, %d) = %d bytes, %v, want %d", name, from, len(got), err, n-from)
			}
		}
	}
	for prefix, want := range map[string]string{
		"": "a b d/e.txt d/e/f", "b": "b", "d": "d/e.txt d/e/f", "d/e": "d/e.txt d/e/f", "d/e/": "d/e/f", "x": "", "x/": "", "a/": "",
	} {
		if got, err := list(ctx, c, prefix); err != nil || !sameWords(got, want) {
			t.Errorf("List(%q) = %q, %v, want %q", prefix, got, err, want)
		}
	}
	if _, err := fileapi.Remove.Call(ctx, c, "a"); err != nil {
		t.Errorf("Remove(a) = %v, want nil", err)
	}
	if _, err := fileapi.Remove.Call(ctx, c, "a"); !errors.Is(err, fileapi.ErrNotFound) {
		t.Errorf("Remove(a) again = %v, want %v", err, fileapi.ErrNotFound)
	}
	if _, err := fileapi.Remove.Call(ctx, c, "d/e"); !errors.Is(err, fileapi.ErrNotFile) {
		t.Errorf("Remove(directory) = %v, want %v", err, fileapi.ErrNotFile)
	}
	if n := f.partials(); n != 0 {
		t.Errorf("%d partials are left, want 0", n)
	}
}

func sameWords(a, b string) bool {
	count := func(s string) map[string]int {
		m := map[string]int{}
		for w := range strings.FieldsSeq(s) {
			m[w]++
		}
		return m
	}
	x, y := count(a), count(b)
	for w := range y {
		if x[w] != 1 {
			return false
		}
	}
	return len(x) == len(y)
}

// What was put is known: nobody reads it once more to learn its digest. What
// changes without the Store is noticed.
func TestStatFollowsChanges(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c, ctx := f.client(), t.Context()
	for _, n := range []int{10, 20, 30} {
		data, want := content(n)
		f.write("a", data)
		if got, err := fileapi.Stat.Call(ctx, c, "a"); got.Content != want || err != nil {
			t.Errorf("Stat(a) = %v, %v, want %v", got, err, want)
		}
	}
	_, old := content(20)
	if _, err := get(ctx, c, fileapi.Range{Name: "a", Content: old}); !errors.Is(err, fileapi.ErrChanged) {
		t.Errorf("Get(old content) = %v, want %v", err, fileapi.ErrChanged)
	}
}

func TestGetRefuses(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c, ctx := f.client(), t.Context()
	data, want := content(10)
	f.write("a", data)
	for _, from := range []int64{-1, 11, 1 << 62} {
		if _, err := get(ctx, c, fileapi.Range{Name: "a", Content: want, Offset: from}); !errors.Is(err, fileapi.ErrRequest) {
			t.Errorf("Get(offset %d) = %v, want %v", from, err, fileapi.ErrRequest)
		}
	}
	if _, err := get(ctx, c, fileapi.Range{Name: "b", Content: want}); !errors.Is(err, fileapi.ErrNotFound) {
		t.Errorf("Get(b) = %v, want %v", err, fileapi.ErrNotFound)
	}
}

// A Get that has begun is not disturbed when a new file takes over the name.
func TestGetWhileReplaced(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c, ctx := f.client(), t.Context()
	data, want := content(5_000_000)
	f.write("a", data)
	var got []byte
	for p, err := range fileapi.Get.Call(ctx, c, fileapi.Range{Name: "a", Content: want}) {
		if err != nil {
			t.Fatalf("Get(a) = %v", err)
		}
		if got == nil {
			other, u := content(100)
			if _, err := put(ctx, c, fileapi.Upload{Name: "a", Content: u}, other); err != nil {
				t.Fatalf("Put(a) = %v", err)
			}
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("Get(a) = %d bytes, want the %d of the old file", len(got), len(data))
	}
}

func TestSecondStoreIsRefused(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	s, err := filestore.Open(f.dir, filestore.Config{})
	if err == nil {
		_ = s.Close()
		t.Skip("this system has no locks")
	}
	if !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("Open(same directory) = %v, want that it is in use", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := filestore.Open(filepath.Join(dir, "none"), filestore.Config{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open(missing) = %v, want %v", err, fs.ErrNotExist)
	}
	if err := os.WriteFile(filepath.Join(dir, fileapi.TempDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := filestore.Open(dir, filestore.Config{}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("Open(file in the way) = %v, want an error that says so", err)
	}
}
