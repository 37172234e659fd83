package peer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/mdns"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// adverts is what a node tells others of itself. advMu is not held while an
// Advertiser is called: it may be the user's code, which calls the node.
type adverts struct {
	advMu     sync.Mutex
	listeners []listening // changed by Join only
	addrs     []string    // as advertised; guarded by advMu
	sequence  uint64      // of the last record; guarded by advMu
	signed    time.Time   // when it was; guarded by advMu
	parting   bool        // the last record is the goodbye; guarded by advMu
}

// listening is where the node can be reached.
type listening struct {
	transport.Listener
	atAll bool // at all of the host's addresses; Addr names one that reaches it from here
}

const (
	// recordLife is how long a record is good, by the receiver's clock.
	recordLife = time.Hour
	maxTags    = discovery.MaxServices
)

// discover begins to advertise and to browse, where that is possible, and fails
// if it is nowhere.
func (n *Node) discover(ctx context.Context) error {
	discs, ours := n.cfg.Discovery, false
	if discs == nil {
		m, err := mdns.New(mdns.Config{Logger: n.cfg.Logger})
		if err != nil {
			return err
		}
		discs, ours = []discovery.Discovery{m}, true
	}
	addrs, sequence := n.begin()
	var errs []error
	var sources []source
	for _, d := range discs {
		for _, space := range n.spaces() {
			src := source{disc: d, ours: ours, space: space}
			if err := n.open(ctx, &src, addrs, sequence); err != nil {
				errs = append(errs, err)
				continue
			}
			sources = append(sources, src)
		}
	}
	if len(sources) == 0 && len(errs) > 0 {
		if ours {
			errs = append(errs, discs[0].Close())
		}
		return errors.Join(errs...)
	}
	for _, err := range errs {
		n.cfg.Logger.Warn("discovery does not work here", slog.String("err", err.Error()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sources = sources
	for i := range sources {
		if n.enterLocked() {
			go n.browseLoop(i)
		}
	}
	return nil
}

// begin decides what the first records say.
func (n *Node) begin() (addrs []string, sequence uint64) {
	addrs = n.currentAddrs()
	n.advMu.Lock()
	defer n.advMu.Unlock()
	n.addrs, n.signed = addrs, time.Now()
	n.sequence = uint64(max(time.Now().UnixMilli(), 1))
	return addrs, n.sequence
}

// spaces returns the namespaces of the node's network: one for each key of the ring, so
// that nodes find each other while it rotates.
func (n *Node) spaces() []discovery.Namespace {
	var spaces []discovery.Namespace
	for _, key := range admit.Subkeys(n.cfg.Admit, "kith discovery v1\x00"+n.cfg.Network) {
		spaces = append(spaces, discovery.Private(key))
	}
	if len(spaces) == 0 {
		spaces = []discovery.Namespace{discovery.Public(n.cfg.Network)}
	}
	return spaces
}

func (n *Node) open(ctx context.Context, src *source, addrs []string, sequence uint64) error {
	var err error
	if src.browser, err = src.disc.Browse(ctx, src.space.Network()); err != nil {
		return err
	}
	if len(addrs) == 0 {
		return nil // it only dials
	}
	s, err := n.record(src, addrs, sequence)
	if err == nil {
		src.advert, err = src.disc.Advertise(ctx, s)
	}
	if err != nil {
		_ = src.browser.Close()
	}
	return err
}

// record signs what the node tells.
func (n *Node) record(src *source, addrs []string, sequence uint64) (discovery.Signed, error) {
	return discovery.Sign(n.key, discovery.Record{
		Network: src.space.Network(), Sequence: sequence, Expires: time.Now().Add(recordLife),
		Addrs: addrs, Services: n.serviceTags(src.space),
	})
}

// service returns the part of a method's name that records have a tag for.
func service(method string) string {
	name, _, _ := strings.Cut(method, "/")
	return name
}

func (n *Node) serviceTags(space discovery.Namespace) []discovery.Tag {
	var tags []discovery.Tag
	for _, m := range n.methods {
		tags = append(tags, space.Service(service(m)))
	}
	slices.SortFunc(tags, compareTags)
	tags = slices.Compact(tags)
	return tags[:min(len(tags), maxTags)]
}

func compareTags(a, b discovery.Tag) int { return bytes.Compare(a[:], b[:]) }

// browseLoop takes in what one source reports. It ends with the browser.
func (n *Node) browseLoop(i int) {
	defer n.loops.Done()
	for {
		ev, err := n.sources[i].browser.Next(n.ctx)
		if err != nil {
			return
		}
		n.onFound(i, ev)
	}
}

// onFound takes in a change.
func (n *Node) onFound(i int, ev discovery.Event) {
	rec := ev.Record
	if rec.ID == n.id {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state > joined {
		return
	}
	if ev.Kind == discovery.Lost {
		if p := n.pairs[rec.ID]; p != nil {
			delete(p.found, i)
			p.hope, p.lost = time.Time{}, len(p.found) == 0
			n.settleLocked(p)
		}
		return
	}
	p := n.pairLocked(rec.ID)
	if p == nil {
		n.mu.afterwards(func() {
			n.warn.say("too many peers, one that was found is ignored", slog.String("peer", rec.ID.String()))
		})
		return
	}
	if rec.Sequence > 0 { // from a stranger, until it is connected
		rec.Addrs = slices.DeleteFunc(slices.Clone(rec.Addrs), func(a string) bool { return !onLAN(a) })
	}
	old, known := p.found[i]
	p.found[i], p.lost = rec, false
	if !known || !slices.Equal(old.Addrs, rec.Addrs) {
		p.hold, p.strikes = time.Time{}, 0
		if p.winner != nil && known {
			n.probeLocked(p) // it may have moved
		}
	}
	n.settleLocked(p)
}

// isParting reports whether goodbye was called.
func (n *Node) isParting() bool {
	n.advMu.Lock()
	defer n.advMu.Unlock()
	return n.parting
}

// goodbye tells others that the node leaves. A Join that is still at work sees to what it makes
// known later.
func (n *Node) goodbye() {
	n.mu.Lock()
	sources := n.sources
	n.mu.Unlock()
	n.advMu.Lock()
	n.sequence++
	n.parting = true
	sequence := n.sequence
	n.advMu.Unlock()
	for i := range sources {
		src := &sources[i]
		if src.advert == nil {
			continue
		}
		s, err := n.record(src, nil, sequence)
		if err == nil {
			err = src.advert.Close(s)
		}
		if err != nil && !errors.Is(err, discovery.ErrClosed) {
			n.cfg.Logger.Warn("cannot say goodbye", slog.String("err", err.Error()))
		}
	}
}

// closeSources ends the advertising and browsing, silently where there was no goodbye.
func (n *Node) closeSources() {
	n.mu.Lock()
	sources := n.sources
	n.mu.Unlock()
	for _, src := range sources {
		if src.advert != nil {
			_ = src.advert.Close(discovery.Signed{})
		}
		_ = src.browser.Close()
	}
	for _, src := range sources {
		if src.ours {
			_ = src.disc.Close()
		}
	}
}
