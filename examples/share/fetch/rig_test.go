package fetch_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/static"
	"github.com/kith-go/kith/examples/share/fetch"
	"github.com/kith-go/kith/examples/share/folder"
	"github.com/kith-go/kith/examples/share/shareapi"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a network in virtual time: nodes that offer, and one that fetches, at a
// host called "guest".
type rig struct {
	t       *testing.T
	net     *memory.Network
	addrs   []string
	nodes   int    // that were made
	own     string // a directory of the guest
	changed chan struct{}

	mu   sync.Mutex
	lost map[kith.ID]error // guarded by mu
}

func newRig(t *testing.T) *rig {
	r := &rig{
		t: t, own: t.TempDir(), changed: make(chan struct{}, 1), lost: make(map[kith.ID]error),
		net: memory.NewNetwork(memory.NetworkConfig{Link: memory.Link{Latency: time.Millisecond, Bandwidth: 10 << 20}}),
	}
	t.Cleanup(func() { _ = r.net.Close() })
	return r
}

// content returns size bytes and their Outline.
func content(t *testing.T, size int) ([]byte, *shareapi.Outline) {
	t.Helper()
	p := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(p) // never fails
	o, err := shareapi.Read(t.Context(), strings.NewReader(string(p)), int64(size))
	if err != nil {
		t.Fatal(err)
	}
	return p, o
}

// offer makes a node that offers p as a file, and waits until it does.
func (r *rig) offer(host string, p []byte) kith.ID { return r.offerAs(kith.NewKey(), host, p) }

func (r *rig) offerAs(key *kith.Key, host string, p []byte) kith.ID {
	r.t.Helper()
	dir := r.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), p, 0o666); err != nil {
		r.t.Fatal(err)
	}
	there := make(chan struct{}, 10)
	f, err := folder.Open(dir, folder.Config{Rescan: -1, Settle: -1, Changed: func(folder.Summary) { there <- struct{}{} }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = f.Close() })
	<-there
	var h kith.Handlers
	f.Register(&h)
	return r.serveAs(key, host, &h)
}

// serve makes a node of other handlers.
func (r *rig) serve(host string, h *kith.Handlers) kith.ID {
	return r.serveAs(kith.NewKey(), host, h)
}

func (r *rig) serveAs(key *kith.Key, host string, h *kith.Handlers) kith.ID {
	r.t.Helper()
	node, err := peer.New(peer.Config{
		Key: key, Handlers: h, Admit: admit.Anyone(), Transport: r.net.Transport(memory.Config{Key: key, Host: host}),
		Listen: []string{"memory://" + host + ":1"}, Discovery: []discovery.Discovery{},
	})
	if err == nil {
		err = node.Join(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = node.Close() })
	r.nodes++
	r.announce(key, host)
	return node.ID()
}

// announce sees to it that guests made from now on look for a node, be it there or not.
func (r *rig) announce(key *kith.Key, host string) {
	r.addrs = append(r.addrs, "memory://"+key.ID().String()+"@"+host+":1")
}

// guest returns a node that is connected to all that were made, and tells r.changed what
// changes.
func (r *rig) guest() *peer.Node {
	r.t.Helper()
	found, err := static.New(static.Config{Addrs: r.addrs})
	if err != nil {
		r.t.Fatal(err)
	}
	key := kith.NewKey()
	node, err := peer.New(peer.Config{
		Key: key, Admit: admit.Anyone(), Transport: r.net.Transport(memory.Config{Key: key, Host: "guest"}),
		Discovery: []discovery.Discovery{found},
	})
	if err == nil {
		err = node.Join(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	var watch sync.WaitGroup
	want, up := r.nodes, 0
	all := make(chan struct{})
	watch.Go(func() {
		for ev := range node.Watch(context.Background()) {
			if ev.Kind == peer.Up {
				if up++; up == want {
					close(all)
				}
			}
			select {
			case r.changed <- struct{}{}:
			default:
			}
		}
	})
	r.t.Cleanup(func() {
		_ = node.Close()
		watch.Wait()
		_ = found.Close()
	})
	<-all
	return node
}

func (r *rig) config(g kith.Group) fetch.Config {
	return fetch.Config{Group: g, Changed: r.changed, Lost: func(id kith.ID, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lost[id] = err
	}}
}

func (r *rig) wasLost(id kith.ID, want error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Is(r.lost[id], want)
}

func (r *rig) path() string { return filepath.Join(r.own, "got") }

// get fetches a content to r.path().
func (r *rig) get(ctx context.Context, cfg fetch.Config, hash shareapi.Hash) (fetch.Result, error) {
	f, err := fetch.Find(ctx, cfg, hash)
	if err != nil {
		return fetch.Result{}, err
	}
	return f.Save(ctx, fetch.Target{Path: r.path()})
}

// check fails unless p was got, and nothing else is left.
func (r *rig) check(p []byte) {
	r.t.Helper()
	got, err := os.ReadFile(r.path())
	if err != nil || string(got) != string(p) {
		r.t.Errorf("%d bytes were got, %v, want the %d that were offered", len(got), err, len(p))
	}
	if left, err := os.ReadDir(r.own); len(left) != 1 || err != nil {
		r.t.Errorf("there are %v, %v, want the one file", left, err)
	}
}
