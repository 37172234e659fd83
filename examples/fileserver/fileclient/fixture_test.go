package fileclient_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
	"github.com/kith-go/kith/examples/fileserver/filestore"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// A fixture is a file server in memory, which can be cut off and started anew,
// and a directory of a client.
type fixture struct {
	t        *testing.T
	dir, own string // the server's and the client's
	net      *memory.Network
	key      *kith.Key
	admit    admit.Policy
	stop     func() // the server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		t: t, dir: t.TempDir(), own: t.TempDir(), net: memory.NewNetwork(memory.NetworkConfig{}),
		key: kith.NewKey(), admit: admit.Anyone(),
	}
	t.Cleanup(func() { _ = f.net.Close() })
	return f
}

// serve starts the server, over a Store, or with other handlers.
func (f *fixture) serve(other *kith.Handlers) {
	f.t.Helper()
	h, closeStore := other, func() error { return nil }
	if other == nil {
		store, err := filestore.Open(f.dir, filestore.Config{})
		if err != nil {
			f.t.Fatal(err)
		}
		h, closeStore = new(kith.Handlers), store.Close
		store.Register(h)
	}
	srv, err := server.New(server.Config{Handlers: h, Admit: f.admit})
	if err != nil {
		f.t.Fatal(err)
	}
	tr := f.net.Transport(memory.Config{Host: "server", Key: f.key})
	l, err := tr.Listen(f.t.Context(), transport.Addr{Host: "server"})
	if err != nil {
		f.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), l) }()
	stopped := false
	f.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = srv.Close()
		<-served
		_ = srv.Shutdown(context.Background()) // waits for handlers
		if err := errors.Join(tr.Close(), closeStore()); err != nil {
			f.t.Errorf("the server ended with %v", err)
		}
	}
	f.t.Cleanup(f.stop)
}

// cut breaks all connections.
func (f *fixture) cut() { f.net.Reset("client", "server") }

// client returns a client of the server, whose Caller is set unless cfg has one.
func (f *fixture) client(cfg fileclient.Config) *fileclient.Client {
	f.t.Helper()
	if cfg.Caller == nil {
		c, err := client.New(client.Config{
			Transport: f.net.Transport(memory.Config{Host: "client"}),
			Addrs:     []string{"memory://" + f.key.ID().String() + "@server"},
		})
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { _ = c.Close() })
		cfg.Caller = c
	}
	return fileclient.New(cfg)
}

// content returns random bytes, and what they are to the server.
func content(n int) ([]byte, fileapi.Content) {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(data)
	return data, fileapi.Content{Size: int64(n), SHA256: sha256.Sum256(data)}
}

// write makes a file, and returns its path.
func (f *fixture) write(dir, name string, data []byte) string {
	f.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// wantFile fails unless the file has that content.
func (f *fixture) wantFile(dir, name string, want []byte) {
	f.t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != string(want) {
		f.t.Errorf("%s has %d bytes, %v, want %d others", name, len(got), err, len(want))
	}
}

// wantPartials fails unless so many files are on their way in the client's
// directory.
func (f *fixture) wantPartials(want int) {
	f.t.Helper()
	paths, err := filepath.Glob(filepath.Join(f.own, "*.partial"))
	if len(paths) != want || err != nil {
		f.t.Errorf("on their way are %v, %v, want %d files", paths, err, want)
	}
}

// partialName is where the client keeps what it has of a file.
func partialName(name string, c fileapi.Content) string {
	return strings.Join([]string{name, c.SHA256.String()[:16], "partial"}, ".")
}
