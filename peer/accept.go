package peer

import (
	"errors"
	"log/slog"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/internal/backoff"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// judge is the node's policy for connections that it accepts: Config.Admit, and
// then the rule for pairs. The server finds the session.Pairer in it.
type judge struct {
	admit.Policy
	n *Node
}

var (
	errMeshFull = kith.NewError(kith.ResourceExhausted, "mesh_full", "neighbours enough").Refusal()
	errPeers    = kith.NewError(kith.ResourceExhausted, "too_many_peers", "too many peers here").Refusal()
	errSelf     = kith.NewError(kith.FailedPrecondition, "own_identity", "that is this node's own identity").Refusal()
	errLeaving  = kith.NewError(kith.Unavailable, "shutting_down", "the node is leaving").Refusal()
)

// Instance implements [session.Pairer].
func (j judge) Instance() [8]byte { return j.n.scfg.Instance }

// Judge implements [session.Pairer]. A plain client, which makes no attempts in
// that sense, is served like by any server.
func (j judge) Judge(s *session.Session, r session.Remote) (session.Pairing, error) {
	n, id := j.n, s.Info().Peer
	switch {
	case id == n.id:
		if r.Instance != n.scfg.Instance {
			n.warn.say("another node has this node's key: one of them must get its own", slog.String("addr", s.Info().Remote.String()))
		}
		return session.Pairing{}, errSelf
	case r.Attempt == 0 || id.IsZero():
		return session.Pairing{}, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state >= leaving {
		return session.Pairing{}, errLeaving
	}
	p := n.pairLocked(id)
	if p == nil {
		return session.Pairing{}, errPeers
	}
	if r.Eager && !p.neighbour && !n.takeMeshLocked(p) && (!n.makeMeshRoomLocked() || !n.takeMeshLocked(p)) {
		n.settleLocked(p) // it may be new, and not needed
		return session.Pairing{}, errMeshFull
	}
	k := &link{s: s}
	welcome, dead, err := p.judge(k, r)
	n.closeDeadLocked(dead)
	if err == nil {
		n.watchInstanceLocked(p, k.instance)
		n.heldLocked(p, k)
	}
	n.settleLocked(p)
	return welcome, err
}

// heldLocked begins to watch a link that is held from now on.
func (n *Node) heldLocked(p *pair, k *link) {
	k.s.AfterEnd(func() { n.onEnd(p, k) })
	k.s.AfterDrain(func() { n.onDrain(p) })
}

// onDrain takes note that the peer drains a link: it leaves, or has a better one. It runs on
// a goroutine of the session's.
func (n *Node) onDrain(p *pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state != closed && !p.gone {
		n.settleLocked(p)
	}
}

// closeDeadLocked closes links that the peer has dropped.
func (n *Node) closeDeadLocked(dead []*link) {
	for _, k := range dead {
		n.totals.Dead++
		if n.enterLocked() {
			go n.closeHandler(k, "dropped by the peer")
		}
	}
}

// closeHandler ends a link. Close of the node waits for it.
func (n *Node) closeHandler(k *link, why string) {
	defer n.loops.Done()
	_ = k.s.Close(kith.Unavailable, why)
}

// watchInstanceLocked notices two nodes with one key: each takes the place of
// the other, again and again.
func (n *Node) watchInstanceLocked(p *pair, instance [8]byte) {
	if p.described == instance || p.described == [8]byte{} {
		return
	}
	if time.Since(p.changedAt) > cloneWindow {
		p.instances, p.changedAt = 0, time.Now()
	}
	if p.instances++; p.instances > cloneChanges {
		n.mu.afterwards(func() {
			n.warn.say("a peer is another process time and again: two nodes may have the same key", slog.String("peer", p.id.String()))
		})
	}
}

const (
	cloneWindow  = time.Minute
	cloneChanges = 3
)

// onEnd takes note of the end of a link. It runs on a goroutine of the
// session's.
func (n *Node) onEnd(p *pair, k *link) { p.suspect(n.linkEnded(p, k)) }

// linkEnded returns the browsers to ask whether the peer is still there.
func (n *Node) linkEnded(p *pair, k *link) (ask []discovery.Browser) {
	err := k.s.Err()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.ended(k) {
		return nil // dead, and closed as such
	}
	var ce *transport.ConnError
	clean := errors.As(err, &ce) && ce.Code == kith.OK
	if clean {
		n.totals.Drained++
	} else {
		n.totals.Lost++
		n.logLocked(slog.LevelDebug, "connection lost", slog.String("peer", p.id.Short()), slog.String("err", cutText(err.Error())))
	}
	if len(p.held) == 0 {
		p.err = err
		switch {
		case clean && ce.Remote: // it left
			p.hope = time.Time{}
		case !clean:
			p.hold = time.Now().Add(backoff.Jitter(n.cfg.BackoffBase))
			if len(p.found) == 0 && !p.lost {
				p.hope = time.Now().Add(hopeful)
			}
		}
		if p.up {
			n.logLocked(slog.LevelInfo, "peer down", slog.String("peer", p.id.Short()), slog.String("err", cutText(err.Error())))
		}
		ask = n.foundByLocked(p)
	}
	n.settleLocked(p)
	return ask
}

// foundByLocked returns the browsers that know the peer.
func (n *Node) foundByLocked(p *pair) []discovery.Browser {
	var browsers []discovery.Browser
	for i := range p.found {
		browsers = append(browsers, n.sources[i].browser)
	}
	return browsers
}

// suspect asks discovery whether the peer is still there. A Browser may be the
// user's code, which calls the node: no lock is held.
func (p *pair) suspect(ask []discovery.Browser) {
	for _, b := range ask {
		b.Suspect(p.id)
	}
}
