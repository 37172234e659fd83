package peer

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/kith-go/kith/discovery"
)

// careEvery is how often the node looks at its addresses and idle connections.
const careEvery = 2 * time.Second

// careLoop looks after what changes by itself: this host's addresses, the life of the
// record, idle connections, what is remembered. It ends with the node.
func (n *Node) careLoop() {
	t := time.NewTicker(careEvery)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-t.C:
		case <-n.ctx.Done():
			return
		}
		now := time.Now()
		// The monotonic clock stands still while the host sleeps.
		woke := now.Round(0).Sub(last.Round(0))-now.Sub(last) > careEvery
		last = now
		if n.refresh(now) || woke {
			n.probeAll()
		}
		n.sweep(now)
		n.remember.saveSometimes(n, now)
	}
}

// refresh tells others when this node's addresses have changed, or its record is
// half as old as it may get, and reports whether it was the addresses.
func (n *Node) refresh(now time.Time) bool {
	addrs := n.currentAddrs()
	moved, sequence := n.renew(addrs, now)
	for i := range n.sources {
		if sequence != 0 {
			n.update(&n.sources[i], addrs, sequence)
		}
	}
	return moved
}

// renew decides whether to tell others, and by which sequence, zero if not: after the goodbye a
// record would take it back.
func (n *Node) renew(addrs []string, now time.Time) (moved bool, sequence uint64) {
	n.advMu.Lock()
	defer n.advMu.Unlock()
	moved = !slices.Equal(addrs, n.addrs)
	if n.parting || !moved && now.Sub(n.signed) < recordLife/2 {
		return false, 0
	}
	n.addrs, n.signed = addrs, now
	n.sequence = max(n.sequence+1, uint64(max(now.UnixMilli(), 1)))
	return moved, n.sequence
}

func (n *Node) update(src *source, addrs []string, sequence uint64) {
	if src.advert == nil || len(addrs) == 0 {
		return // no network for now: nobody could hear it
	}
	s, err := n.record(src, addrs, sequence)
	if err == nil {
		err = src.advert.Update(s)
	}
	if err != nil && !errors.Is(err, discovery.ErrClosed) {
		n.warn.say("cannot tell others of this node's new addresses", slog.String("err", err.Error()))
	}
}

// probeAll asks all peers whether they are still there.
func (n *Node) probeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pairs {
		p.hold, p.strikes = time.Time{}, 0
		n.probeLocked(p)
		p.wake()
	}
}

// sweep drains connections beyond the mesh that are idle, and forgets peers that
// only memory knew.
func (n *Node) sweep(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pairs {
		if k := p.winner; k != nil && !p.neighbour && k.idle(now, n.cfg.IdleTimeout) && k.s.RetireIdle() && n.enterLocked() {
			k.draining = true
			go n.drainHandler(k)
		}
		if !p.up && !p.knownLocked() || p.neighbour && p.winner == nil && !p.dialing || p.winner != nil && p.winner.draining {
			n.settleLocked(p)
		}
	}
	n.fillMeshLocked()
}

// idle reports whether no call was made on a link that this node dialled for so long.
func (k *link) idle(now time.Time, limit time.Duration) bool {
	open, made := k.s.Activity()
	if open > 0 || made != k.made || k.quietSince.IsZero() {
		k.made, k.quietSince = made, now
	}
	return limit > 0 && k.dialed && !k.draining && now.Sub(k.quietSince) >= limit
}
