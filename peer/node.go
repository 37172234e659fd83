package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
)

// A Node is client and server at once, among peers. Get one from [New], and
// begin with Join. Its methods may be called from any number of goroutines.
// Whoever made it must end it with Leave or Close.
//
// It runs a goroutine for each listener and each browser, one that looks after
// addresses, and one for each peer that it is connecting to; for an idle
// connection none beside those of its session.
type Node struct {
	cfg      Config
	key      *kith.Key
	id       kith.ID
	handlers *kith.Handlers // Config.Handlers and the node's own
	methods  []string       // what is told of them
	scfg     session.Config // of connections that this node dials
	workers  *session.Workers
	srv      *server.Server
	warn     limitedWarn

	ctx    context.Context // ends with the node
	cancel context.CancelFunc
	loops  sync.WaitGroup

	// Set by Join under mu, before any loop reads them.
	transport transport.Transport
	sources   []source
	remember  *memory // nil if nothing is kept over restarts

	adverts // what the node tells others

	mu lock

	// Guarded by mu.
	state    state
	joinedAt time.Time
	pairs    map[kith.ID]*pair
	mesh     int // how many of pairs are neighbours
	watchers map[*watcher]struct{}
	offers   map[string][]*pair // who offers each method, nil if to be made anew
	idle     chan struct{}      // closed, and made anew, when offers is
	dials    bucket             // for neighbours
	totals   Stats
}

// state only ever moves on.
type state int

const (
	fresh state = iota
	joining
	joined
	leaving
	closed
)

// ErrClosed is matched by the error of every call, and of Join, once the node
// has left or was closed. It matches [transport.ErrClosed] and [net.ErrClosed].
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string     { return "node closed" }
func (closedError) Unwrap() error     { return transport.ErrClosed }
func (closedError) Code() kith.Code   { return kith.Canceled }
func (closedError) Unprocessed() bool { return true }

// New returns a node that does nothing yet. It fails, naming what is missing, if
// cfg is incomplete. The configuration is copied; its Handlers take no further
// method from now on.
func New(cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	key, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("new node: %w", err)
	}
	n := &Node{
		cfg: cfg, key: key, id: key.ID(),
		pairs: make(map[kith.ID]*pair), watchers: make(map[*watcher]struct{}), idle: make(chan struct{}),
		dials: bucket{rate: dialRate, burst: dialBurst},
	}
	n.warn.log = cfg.Logger
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if n.handlers, n.methods, err = n.ownHandlers(cfg.Handlers); err != nil {
		return nil, fmt.Errorf("new node: %w", err)
	}
	var instance [8]byte
	_, _ = rand.Read(instance[:]) // never fails
	n.workers = session.NewSharedWorkers(cfg.MaxCalls)
	n.scfg = session.Config{
		Handlers: n.handlers, Codecs: cfg.Codecs, Admit: cfg.Admit, Workers: n.workers, Instance: instance,
		MaxMessage: cfg.MaxMessage, HelloTimeout: max(cfg.DialTimeout, 0),
		Ping: cfg.Ping, IdlePing: cfg.Ping, Silence: cfg.Silence, IdleSilence: cfg.Silence,
		Logger: cfg.Logger,
	}.Defaults()
	n.srv, err = server.New(server.Config{
		Handlers: n.handlers, Codecs: cfg.Codecs, Admit: judge{cfg.Admit, n},
		MaxCalls: cfg.MaxCalls, MaxMessage: cfg.MaxMessage,
		Ping: cfg.Ping, IdlePing: cfg.Ping, Silence: cfg.Silence, IdleSilence: cfg.Silence,
		Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Join listens, makes the node known, and looks for others. It returns once
// that has begun: peers come Up later, see [Node.Watch]. If nothing can be
// listened at, or no Discovery can begin, it fails, saying what is missing, and the
// node is closed; where some of them work, it goes on with these, and the log has
// the others. The end of ctx ends the call only. It may be called once.
func (n *Node) Join(ctx context.Context) error {
	n.mu.Lock()
	if n.state != fresh {
		defer n.mu.Unlock()
		if n.state == closed {
			return fmt.Errorf("join: %w", ErrClosed)
		}
		return errors.New("join: called before")
	}
	n.state, n.joinedAt = joining, time.Now()
	n.mu.Unlock()
	err := n.join(ctx)
	if err != nil {
		if n.isParting() {
			n.goodbye() // Leave came before there was anything to take back
		}
		_ = n.Close()
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

func (n *Node) join(ctx context.Context) error {
	if n.cfg.Key == nil && n.cfg.KeyFile == "" {
		n.cfg.Logger.Info("no key configured, this node has a fresh identity", slog.String("id", n.id.String()))
	}
	n.openTransport()
	if err := n.listen(ctx); err != nil {
		return err
	}
	n.recall()
	if err := n.discover(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state != joining {
		return ErrClosed
	}
	n.state = joined
	n.loops.Go(n.careLoop)
	return nil
}

// Leave says goodbye, lets the calls under way end, and closes. Calls that peers
// make meanwhile are refused as Unprocessed; those that were made end with their
// outcome. When ctx ends first, it does what Close does and returns an error
// that matches ctx.Err() and names the methods whose handlers were left. It must
// not be called by a handler, which it would wait for.
func (n *Node) Leave(ctx context.Context) error {
	n.mu.Lock()
	if n.state < leaving {
		n.state = leaving
	}
	var dialed []*link
	for _, p := range n.pairs {
		p.wake()
		for _, k := range p.held {
			if k.dialed {
				dialed = append(dialed, k)
			}
		}
	}
	n.mu.Unlock()
	n.goodbye()
	errs := make([]error, len(dialed)+1)
	var drains sync.WaitGroup
	drains.Go(func() { errs[len(dialed)] = n.srv.Shutdown(ctx) })
	for i, k := range dialed {
		drains.Go(func() { errs[i] = k.s.Drain(ctx) })
	}
	drains.Wait()
	errs = append(errs, n.apart(ctx), n.quiet(ctx))
	_ = n.Close()
	for _, err := range errs {
		if err != nil && !errors.Is(err, server.ErrClosed) {
			return fmt.Errorf("leave: %w", err)
		}
	}
	return nil
}

// apart waits until this node has no connection left that it dialled: one may have been
// admitted since it began to leave.
func (n *Node) apart(ctx context.Context) error {
	for {
		changed := n.joinedPair()
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// joinedPair returns a channel that tells of changes of a pair that has a connection that this node
// dialled, or is about to, nil if there is none.
func (n *Node) joinedPair() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pairs {
		if len(p.attempts) > 0 || slices.ContainsFunc(p.held, func(k *link) bool { return k.dialed }) {
			return p.changed
		}
	}
	return nil
}

// quiet waits for the handlers of calls on connections that this node dialled.
func (n *Node) quiet(ctx context.Context) error {
	select {
	case <-n.workers.Quiet():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w, %d handlers left", ctx.Err(), n.workers.Busy())
	}
}

// Close ends the node now: peers notice by their connections. Calls under way
// fail, and the ctx of handlers ends. It is idempotent, returns after the last
// of the node's goroutines, always nil, and does not wait for handlers: it may
// be called by one.
func (n *Node) Close() error {
	n.mu.Lock()
	n.state = closed
	var held []*link
	for _, p := range n.pairs {
		p.wake()
		held = append(held, p.held...)
	}
	for w := range n.watchers {
		w.wake()
	}
	tr, remember := n.transport, n.remember
	n.mu.Unlock()
	n.cancel()
	for _, k := range held {
		if k.dialed {
			_ = k.s.Close(kith.Canceled, "node closed")
		}
	}
	_ = n.srv.Close()
	n.closeSources()
	n.loops.Wait()
	n.workers.Close()
	if n.cfg.Transport == nil && tr != nil {
		_ = tr.Close()
	}
	remember.save(n)
	return nil
}

// enterLocked counts a goroutine that Close is to wait for, and reports false if it
// does not any more.
func (n *Node) enterLocked() bool {
	if n.state == closed {
		return false
	}
	n.loops.Add(1)
	return true
}

// ID returns the node's identity.
func (n *Node) ID() kith.ID { return n.id }

// Peer returns a handle to a peer by its identity, known or not. It stays good
// for as long as the node, over reconnects and moves.
func (n *Node) Peer(id kith.ID) *Peer { return &Peer{n: n, id: id} }

// Peers returns what is known of all known peers, in the order of their IDs.
func (n *Node) Peers() []Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	infos := make([]Info, 0, len(n.pairs))
	for _, p := range n.pairs {
		if p.knownLocked() {
			infos = append(infos, p.infoLocked())
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return infos
}

// Stats is what a [Node] holds now, and what it has counted.
type Stats struct {
	// Known is the number of peers that discovery or memory knows, Up of those
	// that are connected, Mesh of those that the node stays connected to.
	Known, Up, Mesh int
	// Conns is the number of connections to peers; more than Up only while
	// duplicates are drained.
	Conns int
	// Dials counts attempts to connect, Failed those that led to nothing.
	Dials, Failed uint64
	// Drained counts connections that ended in order: the pair had a better one,
	// it was idle, the peer left. Dead counts those closed as the peer had
	// dropped them, Lost those that ended otherwise.
	Drained, Dead, Lost uint64
}

// Stats returns a snapshot.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	st := n.totals
	st.Mesh = n.mesh
	for _, p := range n.pairs {
		if p.knownLocked() {
			st.Known++
		}
		if p.up {
			st.Up++
		}
		st.Conns += len(p.held)
	}
	return st
}

// A source is one Discovery, or one network on it, that the node browses.
type source struct {
	disc    discovery.Discovery
	ours    bool // made by the node, which closes it
	space   discovery.Namespace
	browser discovery.Browser
	advert  discovery.Advertiser
}
