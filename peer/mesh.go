package peer

import (
	"time"

	"github.com/kith-go/kith/internal/backoff"
)

// meshLocked makes a peer a neighbour if there is room, and decides when it is
// dialled first.
func (n *Node) meshLocked(p *pair) {
	if p.winner != nil && !p.winner.eager {
		return // connected on use: the other side counts on that it is closed when it is idle
	}
	if p.neighbour || len(p.found) == 0 && !p.knownLocked() || time.Now().Before(p.meshHold) || !n.takeMeshLocked(p) {
		return
	}
	if !p.smaller && p.strikes == 0 && len(n.listeners) > 0 {
		// The other side dials at once. Both doing so would do no harm, but cost each a connection.
		p.hold = later(p.hold, time.Now().Add(politeMin+backoff.Jitter(politeMax-politeMin)))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// meshFullLocked reports whether there is no room for another neighbour.
func (n *Node) meshFullLocked() bool { return n.cfg.Mesh >= 0 && n.mesh >= n.cfg.Mesh }

func (n *Node) takeMeshLocked(p *pair) bool {
	if n.state > joined || n.meshFullLocked() || p.id == n.id {
		return false
	}
	p.neighbour = true
	n.mesh++
	return true
}

// makeMeshRoomLocked gives up a neighbour that is not connected, for one that has shown that it is there. Else
// anybody could fill the mesh with records of nodes that do not exist.
func (n *Node) makeMeshRoomLocked() bool {
	for _, p := range n.pairs {
		if p.neighbour && len(p.held)+len(p.attempts) == 0 {
			p.neighbour = false
			n.mesh--
			p.meshHold = time.Now().Add(meshPause)
			return true
		}
	}
	return false
}

// meshWantedLocked reports whether a place in the mesh would be taken by a peer that has none.
func (n *Node) meshWantedLocked() bool {
	now := time.Now()
	for _, p := range n.pairs {
		if !p.neighbour && p.knownLocked() && !now.Before(p.meshHold) {
			return true
		}
	}
	return false
}

// leaveMeshLocked gives up a neighbour that has enough of them, or does not answer.
func (n *Node) leaveMeshLocked(p *pair) {
	p.neighbour = false
	n.mesh--
	p.meshHold = time.Now().Add(meshPause)
	n.fillMeshLocked()
}

// fillMeshLocked looks for neighbours among those that are known.
func (n *Node) fillMeshLocked() {
	for _, p := range n.pairs {
		if n.meshFullLocked() {
			return
		}
		if !p.neighbour && p.knownLocked() {
			n.meshLocked(p)
			n.startDialLocked(p)
		}
	}
}

// A bucket lets burst events pass at once, and rate per second. It is full at
// first. It is not safe for concurrent use.
type bucket struct {
	rate, burst float64
	used        float64 // at the time at
	at          time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.used = max(0, b.used-b.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.used+1 > b.burst {
		return false
	}
	b.used++
	return true
}
