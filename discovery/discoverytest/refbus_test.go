package discoverytest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A refBus is a medium in memory: what one node says, all hear at once. It keeps all rules, but for its fault.
type refBus struct {
	fault fault
	stuck chan struct{} // closed when what a fault left blocked may end

	mu    sync.Mutex
	nodes []*refNode // guarded by mu
}

func newRefBus(f fault) *refBus { return &refBus{fault: f, stuck: make(chan struct{})} }

func (bus *refBus) setup() Setup {
	return Setup{
		New:      func() discovery.Discovery { return bus.newNode() },
		Inject:   func(raw []byte) error { bus.say(raw, "injector"); return nil },
		Crash:    func(d discovery.Discovery) { d.(*refNode).crash() },
		InMemory: true,
	}
}

func (bus *refBus) newNode() *refNode {
	n := &refNode{
		bus: bus, tables: make(map[discovery.Tag]*discovery.Table),
		ads: make(map[kith.ID]*refAd), left: make(map[kith.ID]bool),
	}
	bus.mu.Lock()
	defer bus.mu.Unlock()
	bus.nodes = append(bus.nodes, n)
	return n
}

func (bus *refBus) all() []*refNode {
	bus.mu.Lock()
	defer bus.mu.Unlock()
	return slices.Clone(bus.nodes)
}

// say lets all nodes hear raw.
func (bus *refBus) say(raw []byte, source string) {
	for _, n := range bus.all() {
		n.hear(raw, source)
	}
}

// A refNode is one Discovery on the bus.
type refNode struct {
	bus *refBus

	mu      sync.Mutex
	closed  bool                               // guarded by mu
	crashed bool                               // guarded by mu
	deaf    bool                               // guarded by mu; by a fault
	tables  map[discovery.Tag]*discovery.Table // guarded by mu
	ads     map[kith.ID]*refAd                 // guarded by mu
	seen    []*refBrowser                      // guarded by mu
	left    map[kith.ID]bool                   // guarded by mu; who said goodbye, for a fault
	bad     int                                // guarded by mu; records that did not open, for a fault
}

func (n *refNode) hear(raw []byte, source string) {
	n.mu.Lock()
	if n.hearWrongLocked(raw, source) || n.closed || n.crashed || n.deaf {
		n.mu.Unlock()
		return
	}
	var tables []*discovery.Table
	for _, t := range n.tables {
		tables = append(tables, t)
	}
	n.mu.Unlock()
	for _, t := range tables {
		_, _, _ = t.Put(raw, source) // what is wrong with it is nobody's business
	}
}

// Advertise implements discovery.Discovery.
func (n *refNode) Advertise(ctx context.Context, s discovery.Signed) (discovery.Advertiser, error) {
	a := &refAd{n: n, s: s}
	n.mu.Lock()
	if n.closed && n.bus.fault != advertisesAfterClose {
		n.mu.Unlock()
		return nil, discovery.ErrClosed
	}
	if n.bus.fault == oneAdvertiserOnly && len(n.ads) > 0 {
		n.mu.Unlock()
		return a, nil
	}
	n.ads[s.Record().ID] = a
	n.mu.Unlock()
	a.breakCtx(ctx)
	n.bus.say(s.Append(nil), s.Record().ID.String())
	return a, nil
}

// Browse implements discovery.Discovery.
func (n *refNode) Browse(ctx context.Context, network discovery.Tag) (discovery.Browser, error) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, discovery.ErrClosed
	}
	t, known := n.tables[network]
	if !known {
		t = discovery.NewTable(n.tableConfig(network))
		n.tables[network] = t
	}
	b := &refBrowser{
		Browser: t.Browse(), n: n, network: network,
		known: make(map[kith.ID]bool), lost: make(map[kith.ID]bool),
	}
	n.seen = append(n.seen, b)
	n.mu.Unlock()
	b.breakStart(ctx, known)
	if !known && n.bus.fault != newcomerBlind {
		for _, other := range n.bus.all() {
			other.answer(t)
		}
	}
	return b, nil
}

func (n *refNode) tableConfig(network discovery.Tag) discovery.TableConfig {
	cfg := discovery.TableConfig{Network: network, Suspect: n.suspect}
	n.breakConfig(&cfg)
	return cfg
}

// answer tells a newcomer's table of n's own.
func (n *refNode) answer(t *discovery.Table) {
	n.mu.Lock()
	var words []discovery.Signed
	for _, a := range n.ads {
		if !n.closed && !n.crashed {
			words = append(words, a.s)
		}
	}
	n.mu.Unlock()
	for _, s := range words {
		_, _, _ = t.Put(s.Append(nil), s.Record().ID.String())
	}
}

// suspect asks on the bus whether id is there.
func (n *refNode) suspect(id kith.ID) {
	if n.bus.fault == suspectIgnored {
		return
	}
	there := slices.ContainsFunc(n.bus.all(), func(o *refNode) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.ads[id] != nil && !o.closed && !o.crashed
	})
	if there && n.bus.fault != suspectKills {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.tables {
		t.Drop(id)
	}
}

func (n *refNode) crash() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.crashed = true
}

// Close implements discovery.Discovery.
func (n *refNode) Close() error {
	if n.bus.fault == closeTakesAll {
		for _, other := range n.bus.all() {
			other.crash()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed && n.bus.fault == secondCloseFails {
		return errors.New("closed twice")
	}
	n.closed = true
	if n.bus.fault == closeSparesBrowsers {
		go n.closeLoop() // ends when the test lets it
		return nil
	}
	for _, t := range n.tables {
		t.Close()
	}
	return nil
}

func (n *refNode) closeLoop() {
	<-n.bus.stuck
	n.closeTables()
}

func (n *refNode) closeTables() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.tables {
		t.Close()
	}
}

// A refAd is an Advertiser.
type refAd struct {
	n      *refNode
	s      discovery.Signed // guarded by n.mu
	closed bool             // guarded by n.mu
}

// Update implements discovery.Advertiser.
func (a *refAd) Update(s discovery.Signed) error {
	a.n.mu.Lock()
	if (a.closed || a.n.closed) && a.n.bus.fault != updatesAfterClose {
		a.n.mu.Unlock()
		return discovery.ErrClosed
	}
	was, is := a.s.Record(), s.Record()
	if (was.ID != is.ID || was.Network != is.Network || is.Sequence <= was.Sequence) && a.n.bus.fault != updateUnchecked {
		a.n.mu.Unlock()
		return errors.New("not an update")
	}
	a.s = s
	a.n.mu.Unlock()
	if a.n.bus.fault != updateUnheard {
		a.n.bus.say(s.Append(nil), is.ID.String())
	}
	return nil
}

// Close implements discovery.Advertiser.
func (a *refAd) Close(goodbye discovery.Signed) error {
	a.n.mu.Lock()
	if a.closed {
		a.n.mu.Unlock()
		if a.n.bus.fault == advertiserCloseFails {
			return errors.New("closed twice")
		}
		return nil
	}
	a.closed = true
	if a.n.bus.fault == silentCloseFails && goodbye.IsZero() {
		a.n.closed = true
	}
	closed := a.n.closed
	delete(a.n.ads, a.s.Record().ID)
	a.n.mu.Unlock()
	if !goodbye.IsZero() && !closed && a.n.bus.fault != goodbyeUnheard {
		a.n.bus.say(goodbye.Append(nil), goodbye.Record().ID.String())
	}
	return nil
}
