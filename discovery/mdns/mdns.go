// Package mdns is a [discovery.Discovery] over multicast DNS: nodes on one LAN find each other with no server
// and nothing configured.
//
// Each node is an instance of the service _kith._udp.local., named by its ID, with its signed record in a TXT
// record, so that ordinary mDNS tools see it, and nobody can speak for it. It is announced when it comes or
// changes, said again when somebody asks, and ends with a goodbye. Who is silent for too long, or is said to be
// unreachable with [discovery.Browser.Suspect], is asked twice and then Lost.
//
// Direct questions are answered by the server of github.com/hashicorp/mdns, and doubts settled with its
// query. What it does not do (announcing, saying goodbye, listening, answering by multicast, staying within limits) is
// done on sockets of our own, one per interface and address family, which are bound to the multicast group. Where another
// responder lives on the host (avahi, systemd-resolved, another node) they do everything. docs/discovery.md
// describes the wire, the traffic, the limits, and what to do where multicast does not work.
//
// The Linux part is tested in private network namespaces. The parts for darwin, freebsd and windows are
// built and vetted, and were not run.
package mdns

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A Config configures [New]. Its zero value is fit for production.
type Config struct {
	// Interfaces says which network interfaces to use, of those that are up and carry multicast, or are
	// loopback. It is asked again every two seconds, from a goroutine of the Discovery. See [Named]. If
	// nil, all but loopback.
	Interfaces func(net.Interface) bool

	// NoIPv4 and NoIPv6 leave out an address family.
	NoIPv4, NoIPv6 bool

	// Standalone does without the server and the query of hashicorp/mdns. It is chosen by itself where another
	// program has the port.
	Standalone bool

	// MaxPeers and MaxPerSource are limits as in [discovery.TableConfig], for each network that is browsed.
	MaxPeers, MaxPerSource int

	// Logger gets what an operator should know, ten lines a second at most. If nil, nothing is logged.
	Logger *slog.Logger

	// Now tells the time, by which records expire. It must not call the Discovery. If nil, [time.Now].
	Now func() time.Time
}

// Named returns a filter for [Config.Interfaces] that takes the interfaces of these names, loopback included.
func Named(names ...string) func(net.Interface) bool {
	names = slices.Clone(names)
	return func(i net.Interface) bool { return slices.Contains(names, i.Name) }
}

// A Discovery speaks for nodes and listens to others. Get one from [New]. It is safe for concurrent use. It uses the
// network from the first Advertise or Browse on until Close, which ends its goroutines: one that keeps time and
// sends, one that watches the interfaces, one per interface and address family that reads, one per
// doubt that is being settled by query (at most four), and up to two of the server of hashicorp/mdns, whose end is
// not waited for.
type Discovery struct {
	log    *slog.Logger
	open   func(context.Context, host) (medium, error)
	wake   chan struct{} // holds a token if the loop must look
	done   chan struct{} // closed by Close
	loops  sync.WaitGroup
	starts chan struct{} // holds a token while nobody starts or closes; guards medium

	medium medium // nil until started

	mu     sync.Mutex
	closed bool            // guarded by mu
	engine *engine         // guarded by mu
	sent   []chan struct{} // guarded by mu; closed when the next tick's packets are sent
}

var _ discovery.Discovery = (*Discovery)(nil)

// A medium carries packets.
type medium interface {
	// send hands a packet to the network, or loses it. It does not wait.
	send(o outbound)

	// close ends the medium. It waits for its goroutines.
	close()
}

// A host is what a medium brings its news to.
type host interface {
	// receive takes in the packet p, which is not kept. m is the caller's, for reuse.
	receive(m *message, p []byte, in inbound)

	// setLinks says which links there are, where that has changed.
	setLinks(infos []linkInfo)

	// setResponder says whether somebody calls takeDirect.
	setResponder(on bool)

	// takeDirect hands over a direct answer about l, if there is one to be given.
	takeDirect(l label) (reply, bool)

	// vouch takes in a record that was brought by the probe of a node.
	vouch(id kith.ID, raw []byte)
}

// New makes a Discovery, which does nothing yet. It fails if both address families are left out.
func New(cfg Config) (*Discovery, error) {
	if cfg.NoIPv4 && cfg.NoIPv6 {
		return nil, errors.New("mdns: both NoIPv4 and NoIPv6 are set")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	log := limitLog(cfg.Logger)
	var seed [16]byte
	_, _ = crand.Read(seed[:]) // never fails
	rng := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
	d := newDiscovery(log, discovery.TableConfig{MaxPeers: cfg.MaxPeers, MaxPerSource: cfg.MaxPerSource, Now: cfg.Now}, rng)
	d.open = func(ctx context.Context, h host) (medium, error) { return openSockets(ctx, cfg, log, h) }
	return d, nil
}

func newDiscovery(log *slog.Logger, table discovery.TableConfig, rng *rand.Rand) *Discovery {
	d := &Discovery{
		log:    log,
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		starts: make(chan struct{}, 1),
		engine: newEngine(table, rng),
	}
	d.starts <- struct{}{}
	return d
}

// start opens the network, unless that is done.
func (d *Discovery) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-d.starts:
	case <-d.done:
		return discovery.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { d.starts <- struct{}{} }()
	select {
	case <-d.done:
		return discovery.ErrClosed
	default:
	}
	if d.medium != nil {
		return nil
	}
	m, err := d.open(ctx, d)
	if err != nil {
		return fmt.Errorf("mdns: %w", err)
	}
	d.medium = m
	d.loops.Go(d.sendLoop)
	return nil
}

// Advertise implements [discovery.Discovery]. Where no interface is up it succeeds, says so in the log, and
// announces the node when one is. It fails with [discovery.ErrUnavailable] where the port of mDNS cannot be
// shared. One ID is advertised once at a time.
func (d *Discovery) Advertise(ctx context.Context, s discovery.Signed) (discovery.Advertiser, error) {
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, discovery.ErrClosed
	}
	if err := d.engine.advertise(time.Now(), s); err != nil {
		return nil, err
	}
	d.poke()
	return &advertiser{d: d, signed: s}, nil
}

// Browse implements [discovery.Discovery]. Errors are as of [Discovery.Advertise].
func (d *Discovery) Browse(ctx context.Context, network discovery.Tag) (discovery.Browser, error) {
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, discovery.ErrClosed
	}
	v := d.engine.browse(time.Now(), network, func(id kith.ID) { d.suspect(network, id) })
	d.poke()
	return &browser{Browser: v.table.Browse(), d: d, network: network, view: v}, nil
}

// Stats returns what was done so far.
func (d *Discovery) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.engine.report()
}

// Close implements [discovery.Discovery]. It waits for its goroutines, which takes up to half a second if
// a doubt is being settled.
func (d *Discovery) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	d.mu.Unlock()
	if first {
		close(d.done)
	}
	<-d.starts // wait for who starts, and for another Close
	defer func() { d.starts <- struct{}{} }()
	d.loops.Wait()
	if d.medium != nil {
		d.medium.close()
		d.medium = nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.close()
	return nil
}

// poke has the loop look what is to be done.
func (d *Discovery) poke() {
	select { // never blocks
	case d.wake <- struct{}{}:
	default:
	}
}
