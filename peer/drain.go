package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/kith-go/kith"
)

// drainLoop drains the links of a pair that lost, once it has seen that the winner
// is alive. It ends when there are none, and with the node.
func (n *Node) drainLoop(p *pair) {
	defer n.loops.Done()
	for {
		n.mu.Lock()
		w := p.winner
		if len(p.losers()) == 0 {
			p.draining = false
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		if !planted.has(trustsWinner) && !n.alive(w, drainProbe) {
			continue // it was closed, and with its end there is another winner
		}
		n.mu.Lock()
		var losers []*link
		if p.winner == w {
			losers = p.losers()
		}
		for _, k := range losers {
			k.draining = true
			if n.enterLocked() {
				go n.drainHandler(k)
			}
		}
		n.mu.Unlock()
	}
}

// drainHandler ends a link when the calls on it have ended, however long that
// takes. It ends with the node.
func (n *Node) drainHandler(k *link) {
	defer n.loops.Done()
	if planted.has(killsLosers) || k.s.Drain(n.ctx) != nil {
		_ = k.s.Close(kith.Canceled, "node closed")
	}
}

const (
	// probeTime is how long a peer has to answer where there is doubt.
	probeTime = time.Second
	// drainProbe is that where there is none, but for what depends on it. It is longer, as
	// closing a connection that was only slow costs the calls on it.
	drainProbe = 3 * time.Second
	// probeTrips is how many round trips it has at least, over links that are slower than that.
	probeTrips = 4
)

// alive asks the peer at the other end of a link whether it is there, and
// closes the link if it does not answer in time. It returns when the link is out of use then.
func (n *Node) alive(k *link, limit time.Duration) bool {
	limit = max(limit, probeTrips*k.s.RTT())
	ctx, cancel := context.WithTimeout(n.ctx, limit)
	defer cancel()
	if k.s.Ping(ctx) == nil {
		return true
	}
	_ = k.s.Close(kith.Unavailable, fmt.Sprintf("no answer within %v", limit))
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.pairs[k.s.Info().Peer]; p != nil {
		k.draining = true // until onEnd has run
		n.settleLocked(p)
	}
	return false
}

// suspect probes a pair's link after something went wrong on it.
func (n *Node) suspect(p *pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.probeLocked(p)
}

func (n *Node) probeLocked(p *pair) {
	if p.winner == nil || p.probing || !n.enterLocked() {
		return
	}
	p.probing = true
	go n.probeLoop(p, p.winner)
}

// probeLoop ends with the probe, which is bounded.
func (n *Node) probeLoop(p *pair, k *link) {
	defer n.loops.Done()
	n.alive(k, probeTime)
	n.mu.Lock()
	defer n.mu.Unlock()
	p.probing = false
}
