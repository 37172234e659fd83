package peer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// A caller is a Discovery of the user's own, all of whose parts call the user
// back. Each reports one peer, if there is one.
type caller struct {
	peer      kith.ID
	advertise func(discovery.Signed)
	update    func(discovery.Signed)
	goodbye   func(discovery.Signed)
	suspect   func(kith.ID)
}

func (c *caller) Advertise(_ context.Context, s discovery.Signed) (discovery.Advertiser, error) {
	if c.advertise != nil {
		c.advertise(s)
	}
	return callerAdvert{c}, nil
}

func (c *caller) Browse(context.Context, discovery.Tag) (discovery.Browser, error) {
	return &callerBrowser{c: c, closed: make(chan struct{}), news: !c.peer.IsZero()}, nil
}

func (c *caller) Close() error { return nil }

type callerAdvert struct{ c *caller }

func (a callerAdvert) Update(s discovery.Signed) error {
	if a.c.update != nil {
		a.c.update(s)
	}
	return nil
}

func (a callerAdvert) Close(s discovery.Signed) error {
	if a.c.goodbye != nil {
		a.c.goodbye(s)
	}
	return nil
}

type callerBrowser struct {
	c      *caller
	once   sync.Once
	closed chan struct{}
	news   bool
}

func (b *callerBrowser) Next(ctx context.Context) (discovery.Event, error) {
	if b.news {
		b.news = false
		return discovery.Event{Kind: discovery.Found, Record: discovery.Record{ID: b.c.peer, Addrs: []string{"memory://nobody:1"}}}, nil
	}
	select {
	case <-b.closed:
		return discovery.Event{}, discovery.ErrClosed
	case <-ctx.Done():
		return discovery.Event{}, ctx.Err()
	}
}

func (b *callerBrowser) Suspect(id kith.ID) {
	if b.c.suspect != nil {
		b.c.suspect(id)
	}
}

func (b *callerBrowser) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// newCallerNode makes a node of a network of its own.
func newCallerNode(t *testing.T, edit func(*peer.Config), discs ...discovery.Discovery) *peer.Node {
	t.Helper()
	key := kith.NewKey()
	tr := memory.New(memory.Config{Key: key, Host: "x"})
	cfg := peer.Config{Admit: admit.Anyone(), Key: key, Transport: tr, Listen: []string{"memory://x:1"}, Discovery: discs}
	if edit != nil {
		edit(&cfg)
	}
	n, err := peer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.Close()
		_ = tr.Close()
	})
	return n
}

// What a Discovery of the user's own does on being called may be to call the
// node. If a lock were held, the bubble's clock would stop, and the test hang.
func TestDiscoveryMayCallTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *peer.Node
		var mu sync.Mutex
		asked := make(map[string]int) // by what was called
		call := func(what string) {
			_, _, _ = n.Stats(), n.Peers(), n.Addrs()
			mu.Lock()
			defer mu.Unlock()
			asked[what]++
		}
		c := &caller{
			peer:      kith.NewKey().ID(),
			advertise: func(discovery.Signed) { call("Advertise") },
			update:    func(discovery.Signed) { call("Update") },
			goodbye:   func(discovery.Signed) { call("Close") },
			suspect:   func(kith.ID) { call("Suspect") },
		}
		moves := 0
		n = newCallerNode(t, func(cfg *peer.Config) {
			cfg.Advertise = func() []string {
				moves++
				return []string{fmt.Sprintf("memory://x:%d", moves)}
			}
		}, c)
		if err := n.Join(t.Context()); err != nil {
			t.Fatalf("Join = %v", err)
		}
		time.Sleep(10 * time.Second) // the node moves, and the peer is not reached
		if err := n.Leave(t.Context()); err != nil {
			t.Errorf("Leave = %v", err)
		}
		for _, what := range []string{"Advertise", "Update", "Close", "Suspect"} {
			if asked[what] == 0 {
				t.Errorf("%s was not called: %v", what, asked)
			}
		}
	})
}

// A reentrant calls the node for each line that it logs, and counts the lines.
type reentrant struct {
	slog.Handler
	node *atomic.Pointer[peer.Node]

	mu    *sync.Mutex
	lines map[string]int // guarded by mu
}

func (r reentrant) Enabled(context.Context, slog.Level) bool { return true }

func (r reentrant) Handle(_ context.Context, line slog.Record) error {
	if n := r.node.Load(); n != nil {
		_, _, _ = n.Stats(), n.Peers(), n.Addrs()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[line.Message]++
	return nil
}

// What a Logger does with a line may be to call the node. If a lock were held, the
// bubble's clock would stop, and the test hang.
func TestLoggerMayCallTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := reentrant{slog.DiscardHandler, &atomic.Pointer[peer.Node]{}, &sync.Mutex{}, make(map[string]int)}
		l := newLAN(t, memory.Link{})
		a := l.node("a", func(cfg *peer.Config) { cfg.Logger = slog.New(log) })
		log.node.Store(a.Node)
		b := l.node("b", nil)
		await(t, a, b.ID(), peer.Up)
		l.Kill(b)
		time.Sleep(time.Minute) // it is lost, and not reached
		log.mu.Lock()
		defer log.mu.Unlock()
		for _, what := range []string{"peer up", "connection lost", "peer down", "peer not reached"} {
			if log.lines[what] == 0 {
				t.Errorf("nothing was logged of %q: %v", what, log.lines)
			}
		}
	})
}

// Leave while Join is at work takes back what Join makes known meanwhile.
func TestLeaveDuringJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *peer.Node
		left := make(chan error, 1)
		told, ended := make([]uint64, 2), make([]uint64, 2)
		discs := make([]discovery.Discovery, 2)
		for i := range discs {
			discs[i] = &caller{
				advertise: func(s discovery.Signed) {
					told[i] = s.Record().Sequence
					if i == 0 {
						go func() { left <- n.Leave(t.Context()) }()
						synctest.Wait() // Leave has done what it can
					}
				},
				goodbye: func(s discovery.Signed) { ended[i] = max(ended[i], s.Record().Sequence) },
			}
		}
		n = newCallerNode(t, nil, discs...)
		if err := n.Join(t.Context()); !errors.Is(err, peer.ErrClosed) {
			t.Errorf("Join = %v, want %v", err, peer.ErrClosed)
		}
		if err := <-left; err != nil {
			t.Errorf("Leave = %v", err)
		}
		for i := range discs {
			if told[i] == 0 || told[i] != told[0] || ended[i] <= told[i] {
				t.Errorf("discovery %d: advertised by sequence %d, said goodbye by %d, want %d and a later one", i, told[i], ended[i], told[0])
			}
		}
	})
}
