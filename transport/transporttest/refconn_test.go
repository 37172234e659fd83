package transporttest

import (
	"context"
	"errors"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var errLinkCut = errors.New("link cut")

// A refLink is what the two ends of a connection share.
type refLink struct {
	mu      sync.Mutex
	ended   bool
	ends    [2]*refConn
	streams map[*refStream]struct{}
	room    *refRoom // nil but for faults: what all streams have together
}

type refConn struct {
	t        *refTransport
	link     *refLink
	peer     *refConn
	info     transport.Info
	ctx      context.Context
	cancel   context.CancelCauseFunc
	incoming chan *refStream
	slots    chan struct{} // holds a token for each stream opened here; nil without limit
}

func newRefLink(dialer, listener *refTransport, a transport.Addr) (near, far *refConn) {
	n := dialer.net
	link := &refLink{streams: make(map[*refStream]struct{})}
	if n.is(unreadStallsOthers) || n.is(discardKeepsRoom) {
		link.room = &refRoom{limit: 1 << 20, changed: make(chan struct{})}
	}
	if n.is(unreadStallsOthers) {
		link.room.limit = refWindow
	}
	near, far = newRefConn(dialer, link), newRefConn(listener, link)
	near.peer, far.peer = far, near
	local := transport.Addr{Scheme: "ref", ID: dialer.id, Host: "dialer"}
	near.info = transport.Info{Transport: "ref", Local: local, Remote: a.WithID(listener.id), Peer: listener.id, Dialed: true}
	far.info = transport.Info{Transport: "ref", Local: near.info.Remote, Remote: local, Peer: dialer.id}
	near.info.Binding = randomBinding()
	far.info.Binding = near.info.Binding
	switch {
	case n.is(bindingDiffers):
		far.info.Binding = randomBinding()
	case n.is(bindingShared):
		near.info.Binding = [32]byte{1}
		far.info.Binding = near.info.Binding
	case n.is(dialedEverywhere):
		far.info.Dialed = true
	case n.is(localUnknown):
		near.info.Local.ID = kith.ID{}
	case n.is(peerUnknown):
		far.info.Peer, far.info.Remote.ID = kith.ID{}, kith.ID{}
	}
	link.ends = [2]*refConn{near, far}
	n.mu.Lock()
	n.links = append(n.links, link)
	n.mu.Unlock()
	return near, far
}

func newRefConn(t *refTransport, link *refLink) *refConn {
	c := &refConn{t: t, link: link, incoming: make(chan *refStream, 1<<12)}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	limit := t.net.limit
	if c.is(limitTooLow) {
		limit /= 2
	}
	if limit >= 0 {
		c.slots = make(chan struct{}, limit)
	}
	return c
}

func (c *refConn) is(f fault) bool          { return c.t.net.is(f) }
func (c *refConn) Info() transport.Info     { return c.info }
func (c *refConn) Context() context.Context { return c.ctx }

func (c *refConn) OpenStream(ctx context.Context) (transport.Stream, error) {
	if c.is(openIgnoresCtx) {
		ctx = context.Background()
	}
	if c.ctx.Err() != nil {
		return nil, context.Cause(c.ctx)
	}
	if c.slots != nil && !c.is(noStreamLimit) {
		if c.is(openFailsAtLimit) && len(c.slots) == cap(c.slots) {
			return nil, errors.New("too many streams")
		}
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.ctx.Done():
			return nil, context.Cause(c.ctx)
		}
	}
	near := newRefStream(c)
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.link.ended {
		return nil, context.Cause(c.ctx)
	}
	c.link.streams[near] = struct{}{}
	if c.is(leaksStream) {
		go leakHandler(c.t.net.stuck)
	}
	return near, nil
}

func (c *refConn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	if c.is(acceptStreamIgnoresCtx) {
		ctx = context.Background()
	}
	select {
	case s := <-c.incoming:
		if c.is(acceptLosesStream) && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if c.is(openerOnly) && c.info.Dialed {
			s.Reset(kith.Unimplemented)
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
}

func (c *refConn) CloseWithError(code kith.Code, reason string) error {
	remote := reason[:min(len(reason), transport.MaxReason)]
	switch {
	case c.is(reasonLost):
		remote = ""
	case c.is(reasonNotCut):
		remote = reason
	}
	here := &transport.ConnError{Code: code, Reason: reason}
	there := &transport.ConnError{Code: code, Reason: remote, Remote: !c.is(connRemoteWrong)}
	if c.is(codeLostUnderTraffic) && c.link.pending() {
		*there = transport.ConnError{Code: kith.Unavailable, Err: errors.New("reset")}
	}
	if c.is(closeSparesStreams) {
		c.link.end(c, here, there, false)
		return nil
	}
	again := c.link.end(c, here, there, true)
	if again && c.is(secondCloseFails) {
		return transport.ErrClosed
	}
	return nil
}

// pending reports whether something was written and not yet read.
func (l *refLink) pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.streams {
		for _, p := range []*refPipe{s.in, s.out} {
			p.mu.Lock()
			held := p.size
			p.mu.Unlock()
			if held > 0 {
				return true
			}
		}
	}
	return false
}

// cut is what Setup.Cut does.
func (n *refNet) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		lost := func() *transport.ConnError {
			return &transport.ConnError{Code: kith.Unavailable, Err: errLinkCut}
		}
		l.end(l.ends[0], lost(), lost(), true)
	}
}

// end ends the connection and its streams, each end with an error of its own.
func (l *refLink) end(at *refConn, here, there error, streams bool) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return true
	}
	l.ended = true
	if at.is(causeLost) {
		at.cancel(nil)
		at.peer.cancel(nil)
	}
	at.cancel(here)
	at.peer.cancel(there)
	if !streams {
		return false
	}
	for s := range l.streams {
		if s.c != at {
			s = s.other
		}
		s.fail(here)
		s.other.fail(there)
	}
	return false
}
