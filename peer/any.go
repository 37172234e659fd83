package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
)

// Members returns a Caller for each peer that offers the method and is Up, in
// the order of their IDs. It makes a Node a [kith.Group].
func (n *Node) Members(method string) []kith.Member {
	offers, _ := n.offering(method)
	members := make([]kith.Member, 0, len(offers))
	for _, p := range offers {
		members = append(members, kith.Member{ID: p.id, Caller: n.Peer(p.id)})
	}
	slices.SortFunc(members, func(a, b kith.Member) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return members
}

// offering returns the peers that are Up and offer a method, not to be changed, and
// a channel that is closed when that may be different.
func (n *Node) offering(method string) ([]*pair, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.offers == nil {
		n.offers = make(map[string][]*pair)
		for _, p := range n.pairs {
			if !p.up {
				continue
			}
			for _, m := range p.methods {
				n.offers[m] = append(n.offers[m], p)
			}
		}
	}
	return n.offers[method], n.idle
}

// offersChangedLocked is called when who is Up, or offers what, has changed.
func (n *Node) offersChangedLocked() {
	n.offers = nil
	close(n.idle)
	n.idle = make(chan struct{})
}

// Any returns a Caller that takes each call to a peer that offers its method: of
// two drawn at random the one with fewer calls in flight. A call that a peer
// refused as Unprocessed goes to another, as does an Idempotent one that was
// lost. If no peer that is Up offers the method, those that may offer it, as
// discovery says, are connected first; with [kith.WaitForReady], the call waits for
// one to appear.
func (n *Node) Any() kith.Caller { return anyPeer{n} }

type anyPeer struct{ n *Node }

// Invoke implements [kith.Caller].
func (a anyPeer) Invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	var answer []byte
	err := a.do(ctx, r, func(p *Peer) (err error) {
		answer, err = p.Invoke(ctx, r)
		return err
	})
	return answer, err
}

// Open implements [kith.Caller].
func (a anyPeer) Open(ctx context.Context, r kith.Request) (kith.CallStream, error) {
	var stream kith.CallStream
	err := a.do(ctx, r, func(p *Peer) (err error) {
		stream, err = p.Open(ctx, r)
		return err
	})
	return stream, err
}

// do makes a call at one peer after the other.
func (a anyPeer) do(ctx context.Context, r kith.Request, call func(*Peer) error) error {
	patient := r.WaitForReady
	r.WaitForReady = false
	var failed []error
	var asked []*pair
	for len(asked) < maxTries {
		p, err := a.choose(ctx, r.Method, patient && len(asked) == 0, asked)
		if err != nil {
			failed = append(failed, err)
			break
		}
		if err = call(a.n.Peer(p.id)); err == nil {
			return nil
		}
		if !mayFailOver(ctx, r.Method, err) {
			return err
		}
		failed, asked = append(failed, err), append(asked, p)
	}
	return a.failure(r.Method, failed)
}

// failure makes the error of a call that no peer has carried out.
func (a anyPeer) failure(m *kith.Method, failed []error) error {
	e := &anyError{method: m, failed: failed, unprocessed: true}
	for _, err := range failed {
		e.unprocessed = e.unprocessed && kith.Unprocessed(err)
	}
	return e
}

// choose returns a peer that was not asked yet.
func (a anyPeer) choose(ctx context.Context, m *kith.Method, patient bool, asked []*pair) (*pair, error) {
	for {
		offers, changed := a.n.offering(m.Name())
		if p := pick(offers, asked); p != nil {
			return p, nil
		}
		if p := a.n.promising(m, asked); p != nil {
			return p, nil
		}
		if !patient {
			return nil, errNobody
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, waitErr(ctx, errNobody)
		case <-a.n.ctx.Done():
			return nil, ErrClosed
		}
	}
}

var errNobody = kith.NewError(kith.Unavailable, "no_provider", "no peer offers this method").Refusal()

// pick draws two, and takes the one that has fewer calls.
func pick(from, asked []*pair) *pair {
	if len(asked) > 0 {
		from = slices.DeleteFunc(slices.Clone(from), func(p *pair) bool { return slices.Contains(asked, p) })
	}
	if len(from) == 0 {
		return nil
	}
	i := rand.IntN(len(from))
	p := from[i]
	if len(from) == 1 {
		return p
	}
	q := from[(i+1+rand.IntN(len(from)-1))%len(from)]
	if q.load() < p.load() {
		return q
	}
	return p
}

// load returns how many calls are open with a peer.
func (p *pair) load() int {
	k := p.live.Load()
	if k == nil {
		return 1 << 30
	}
	open, _ := k.s.Activity()
	return open
}

// promising returns a peer that is not Up, but may offer the method, and is not known
// to be out of reach.
func (n *Node) promising(m *kith.Method, asked []*pair) *pair {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pairs {
		if p.up || p.strikes > 0 || slices.Contains(asked, p) {
			continue
		}
		for i, rec := range p.found {
			if _, ok := slices.BinarySearchFunc(rec.Services, n.sources[i].space.Service(service(m.Name())), compareTags); ok {
				return p
			}
		}
	}
	return nil
}

// mayFailOver reports whether a call that failed at one peer may be made at another.
func mayFailOver(ctx context.Context, m *kith.Method, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if kith.Unprocessed(err) {
		return true
	}
	var f *session.Failure
	return m.Idempotent() && errors.As(err, &f) && f.Code() == kith.Unavailable
}

// An anyError says what became of a call at each peer that was asked.
type anyError struct {
	method      *kith.Method
	failed      []error
	unprocessed bool
}

// Error names each peer that was asked.
func (e *anyError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "call %s at any peer", e.method.Name())
	for _, err := range e.failed {
		fmt.Fprintf(&text, "; %v", err)
	}
	return text.String()
}

// Unwrap returns why each failed.
func (e *anyError) Unwrap() []error { return e.failed }

// Code returns the code of the last failure.
func (e *anyError) Code() kith.Code { return kith.CodeOf(e.failed[len(e.failed)-1]) }

// Unprocessed reports whether the call was carried out nowhere.
func (e *anyError) Unprocessed() bool { return e.unprocessed }
