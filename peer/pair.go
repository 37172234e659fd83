package peer

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/transport"
)

// A pair is what a node knows of one peer, and has with it. It is guarded by
// Node.mu.
type pair struct {
	n  *Node
	id kith.ID

	// live is links.winner, for the call path.
	live atomic.Pointer[link]
	links

	found      map[int]discovery.Record // by the index of its source
	remembered []string                 // addresses that worked, the latest first
	hope       time.Time                // until then a peer that only memory knows is tried
	lost       bool                     // discovery knew it, and does not any more
	gone       bool                     // not among the node's any more

	name      string
	methods   []string
	described [8]byte // the instance that name and methods are of
	up        bool    // told to watchers; set once described
	since     time.Time
	err       error

	neighbour bool      // the node stays connected by itself
	meshHold  time.Time // the peer has neighbours enough: not before then
	hold      time.Time // no attempt before then
	strikes   int       // rounds that failed in a row
	fails     uint64    // rounds that failed
	waiting   int       // calls that wait for a connection
	dialing   bool      // there is a dialLoop
	probing   bool      // there is a probeLoop
	draining  bool      // there is a drainLoop
	changed   chan struct{}

	instances int       // how often the peer's instance changed
	changedAt time.Time // when it did so first, of those counted
}

// hopeful is how long a peer is tried that discovery has not seen: one that an
// earlier run remembers, or that was connected without.
const hopeful = 5 * time.Minute

// pairLocked returns the pair for an ID, making it if there is room.
func (n *Node) pairLocked(id kith.ID) *pair {
	if p := n.pairs[id]; p != nil {
		return p
	}
	if n.cfg.MaxPeers > 0 && len(n.pairs) >= n.cfg.MaxPeers && !n.makeRoomLocked() {
		return nil
	}
	p := &pair{n: n, id: id, changed: make(chan struct{}), found: make(map[int]discovery.Record)}
	p.smaller = slices.Compare(n.id[:], id[:]) < 0
	p.since = time.Now()
	n.pairs[id] = p
	return p
}

// makeRoomLocked drops a pair that nobody needs.
func (n *Node) makeRoomLocked() bool {
	for _, p := range n.pairs {
		if !p.knownLocked() && p.unusedLocked() {
			n.dropLocked(p)
			return true
		}
	}
	return false
}

// knownLocked reports whether the peer is one for watchers.
func (p *pair) knownLocked() bool {
	return p.up || len(p.found) > 0 || len(p.remembered) > 0 && time.Now().Before(p.hope)
}

func (p *pair) unusedLocked() bool {
	return len(p.held)+len(p.attempts) == 0 && p.waiting == 0 && !p.dialing
}

// dropLocked forgets a pair. A handle makes it anew.
func (n *Node) dropLocked(p *pair) {
	p.gone = true
	n.tellLocked(p)
	delete(n.pairs, p.id)
	if p.neighbour {
		p.neighbour = false
		n.mesh--
	}
}

// wake lets everybody look again who waits for a change.
func (p *pair) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// settleLocked carries out what a change of the pair's links or of what is known of the
// peer leads to. It is called after every change.
func (n *Node) settleLocked(p *pair) {
	for _, k := range p.held {
		k.draining = k.draining || k.s.Draining()
	}
	p.elect()
	before := p.live.Swap(p.winner)
	switch {
	case p.winner == nil:
		if p.up {
			p.up, p.since = false, time.Now()
			if p.err == nil {
				p.err = p.endingLocked()
			}
			if len(p.held) > 0 { // it drains, and may be about to say that it leaves
				p.hold = later(p.hold, time.Now().Add(politeMin))
			}
			n.offersChangedLocked()
		}
	case p.described == p.winner.instance:
		if !p.up {
			p.up, p.since, p.err, p.strikes = true, time.Now(), nil, 0
			n.offersChangedLocked()
		}
	case before != p.winner && n.enterLocked():
		go n.describeLoop(p, p.winner)
	}
	if len(p.losers()) > 0 && !p.draining && n.enterLocked() {
		p.draining = true
		go n.drainLoop(p)
	}
	n.meshLocked(p)
	n.startDialLocked(p)
	p.wake()
	n.tellLocked(p)
	if !p.knownLocked() && p.unusedLocked() {
		n.dropLocked(p)
		n.fillMeshLocked()
	}
}

// endingLocked returns why a peer is Down whose links are still held: one has just ended, or they
// are drained, by the peer that leaves or by this node.
func (p *pair) endingLocked() error {
	for _, k := range p.held {
		if err := k.s.Err(); err != nil {
			return err
		}
	}
	return errDrained
}

// errDrained is how a link ends that is drained.
var errDrained = &transport.ConnError{Code: kith.OK, Reason: "drained"}

// infoLocked returns what is known of the peer.
func (p *pair) infoLocked() Info {
	i := Info{
		ID: p.id, Name: p.name, Up: p.up, Since: p.since, Addrs: p.addrsLocked(),
		Methods: slices.Clone(p.methods), Err: p.err,
	}
	if k := p.winner; p.up && k != nil {
		i.Addr, i.Dialed = k.s.Info().Remote.String(), k.dialed
	}
	return i
}

// addrsLocked returns where the peer may be reached: as its sources say, then
// what worked before.
func (p *pair) addrsLocked() []string {
	var addrs []string
	add := func(list []string) {
		for _, a := range list {
			if len(addrs) < maxAddrs && !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	for i := range len(p.n.sources) {
		add(p.found[i].Addrs)
	}
	add(p.remembered)
	return addrs
}

// maxAddrs is how many addresses of a peer are tried.
const maxAddrs = 16
