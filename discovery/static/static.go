// Package static finds nodes by a list: addresses in a [Config], and those in a
// file, which is watched. It is for where multicast does not reach, and for what must be found without it.
//
// An address has an ID, as in "quic://ID@host:port": a list cannot learn it from the node, and only
// the ID makes sure who answers. The same ID may stand there with several addresses,
// best first. In the file each is on a line of its own; what follows a # at the beginning of a line or after
// a space is a comment.
//
//	# the two in the rack
//	quic://ID@10.0.0.7:4433
//	tcp://ID@10.0.0.7:4433   # the same node
//	quic://ID@build.example:4433
package static

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/kith-go/kith/discovery"
)

// A Config is what a [Discovery] goes by. With its zero value nobody is found.
type Config struct {
	// Addrs are addresses that stay as they are.
	Addrs []string

	// File is the path of a file with further addresses. What it says is known when the
	// first Browse returns, and changes within about two Intervals of the file, which may be
	// replaced or written in place. If it is missing, too large (1 MiB), or wrong in any
	// line, what it said last stays, and the Logger gets the reason.
	File string

	// Interval is how often the file is looked at. If zero, 2 seconds. If
	// negative, it is read once.
	Interval time.Duration

	// Logger gets what is wrong with the file, once for each thing, and when it is right
	// again. If nil, nothing is logged.
	Logger *slog.Logger
}

const defaultInterval = 2 * time.Second

// A Discovery reports the nodes of a list. It says nothing to anybody, so its Advertisers do
// nothing: others find this node by lists of their own.
//
// What it reports is what the user wrote down. Its records are not signed: Sequence and Expires are
// zero, Services is nil, and Network is whatever network was browsed.
//
// Get one from [New]. It is safe for concurrent use. With a File it runs one goroutine
// from the first Browse on, until Close.
type Discovery struct {
	cfg   Config
	fixed []entry
	done  chan struct{}  // closed by Close
	loop  sync.WaitGroup // the watchLoop

	mu       sync.Mutex
	closed   bool      // guarded by mu
	watching sync.Once // starts the watchLoop; not under mu, as it reads the file
	list     *list     // guarded by mu
}

var _ discovery.Discovery = (*Discovery)(nil)

// New makes a Discovery. It fails if an address in the Config is none, or has no
// ID. The file is not looked at before the first Browse.
func New(cfg Config) (*Discovery, error) {
	var fixed []entry
	parser := newParser()
	for i, a := range cfg.Addrs {
		e, err := parser.entry(a)
		if err != nil {
			return nil, entryError("address", i+1, err)
		}
		fixed = append(fixed, e)
	}
	l, err := newList(fixed, nil)
	if err != nil {
		return nil, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Discovery{cfg: cfg, fixed: fixed, done: make(chan struct{}), list: l}, nil
}

// Advertise returns an Advertiser that keeps the rules of one and tells nobody.
func (d *Discovery) Advertise(ctx context.Context, s discovery.Signed) (discovery.Advertiser, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isClosed(d.done):
		return nil, discovery.ErrClosed
	case s.IsZero():
		return nil, errors.New("static: advertise: the record is not signed")
	}
	return &advertiser{d: d, record: s.Record()}, nil
}

// Browse reports the nodes of the list, whatever the network.
func (d *Discovery) Browse(ctx context.Context, network discovery.Tag) (discovery.Browser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.cfg.File != "" {
		d.watching.Do(d.watch)
	}
	if isClosed(d.done) {
		return nil, discovery.ErrClosed
	}
	return newBrowser(d, network), nil
}

// watch reads the file, and starts to watch it.
func (d *Discovery) watch() {
	w := &watcher{d: d}
	wait := w.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed && wait > 0 {
		d.loop.Go(func() { w.watchLoop(wait) }) // ends by Close, which waits for it
	}
}

// current returns the list as it is.
func (d *Discovery) current() *list {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list
}

// replace makes l the list, and lets Browsers know.
func (d *Discovery) replace(l *list) {
	d.mu.Lock()
	was := d.list
	d.list = l
	d.mu.Unlock()
	close(was.replaced)
}

// Close ends all Advertisers and Browsers, and the watching. It is idempotent, and
// returns after the last goroutine.
func (d *Discovery) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.done)
	}
	d.mu.Unlock()
	d.loop.Wait()
	return nil
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// An advertiser does nothing.
type advertiser struct {
	d *Discovery

	mu     sync.Mutex
	closed bool             // guarded by mu
	record discovery.Record // guarded by mu
}

// Update implements [discovery.Advertiser].
func (a *advertiser) Update(s discovery.Signed) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := s.Record()
	switch {
	case a.closed || isClosed(a.d.done):
		return discovery.ErrClosed
	case r.ID != a.record.ID:
		return errors.New("static: update: record of another ID")
	case r.Network != a.record.Network:
		return discovery.ErrNetwork
	case r.Sequence <= a.record.Sequence:
		return discovery.ErrStale
	}
	a.record = r
	return nil
}

// Close implements [discovery.Advertiser].
func (a *advertiser) Close(discovery.Signed) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	return nil
}
