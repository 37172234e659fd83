package transporttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// The reference is the simplest transport that keeps all rules: what one end
// does is done to the other by direct calls. A fault makes it break one rule.

// A refNet is where reference transports find each other.
type refNet struct {
	fault  fault
	limit  int // of streams; negative for none
	stuck  chan struct{}
	mu     sync.Mutex
	names  int
	listen map[string]*refListener
	links  []*refLink
}

// silentHost is where nobody answers.
const silentHost = "silent"

func newRefNet(f fault) *refNet {
	return &refNet{fault: f, limit: 64, stuck: make(chan struct{}), listen: make(map[string]*refListener)}
}

func (n *refNet) is(f fault) bool { return n.fault == f }

type refTransport struct {
	net *refNet
	id  kith.ID

	mu        sync.Mutex
	done      chan struct{}
	closed    bool
	listeners []*refListener
	conns     map[*refConn]struct{}
}

func (n *refNet) transport() *refTransport {
	return &refTransport{net: n, id: kith.NewKey().ID(), done: make(chan struct{}), conns: make(map[*refConn]struct{})}
}

func (t *refTransport) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	if t.isClosed() && !t.net.is(dialsAfterClose) {
		return nil, fmt.Errorf("dial: %w", transport.ErrClosed)
	}
	if a.ID.IsZero() && !t.net.is(dialsWithoutID) {
		return nil, fmt.Errorf("dial %v: %w", a, transport.ErrNoIdentity)
	}
	if err := ctx.Err(); err != nil {
		if t.net.is(dialHidesCtx) {
			err = errors.New("timed out")
		}
		return nil, err
	}
	if a.Host == silentHost {
		return nil, t.dialSilence(ctx)
	}
	t.net.mu.Lock()
	l := t.net.listen[a.Host]
	t.net.mu.Unlock()
	if l == nil {
		if t.net.is(dialNobodyHangs) {
			<-t.net.stuck
		}
		return nil, fmt.Errorf("dial %v: nobody listens", a)
	}
	return t.dialListener(ctx, a, l)
}

func (t *refTransport) dialSilence(ctx context.Context) error {
	if t.net.is(silenceIgnoresCtx) {
		<-t.net.stuck
	}
	done := t.done
	if t.net.is(closeLeavesDial) {
		done = nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return transport.ErrClosed
	}
}

func (t *refTransport) dialListener(ctx context.Context, a transport.Addr, l *refListener) (transport.Conn, error) {
	if a.ID != l.t.id && !a.ID.IsZero() && !t.net.is(acceptsWrongPeer) {
		if t.net.is(leaksFailedDial) {
			go leakHandler(t.net.stuck)
		}
		if t.net.is(reportsFailedDial) {
			near, far := newRefLink(t, l.t, a)
			l.offer(far)
			near.CloseWithError(kith.Unauthenticated, "")
		}
		return nil, &transport.PeerError{Want: a.ID, Got: l.t.id}
	}
	if t.net.is(oneConnOnly) && t.busy() {
		return nil, fmt.Errorf("dial %v: busy", a)
	}
	near, far := newRefLink(t, l.t, a)
	if !t.add(near) || !l.t.add(far) || !l.offer(far) {
		near.CloseWithError(kith.Unavailable, "nobody accepts")
		return nil, fmt.Errorf("dial %v: %w", a, transport.ErrClosed)
	}
	switch {
	case t.net.is(dialCtxEndsConn):
		context.AfterFunc(ctx, func() { near.CloseWithError(kith.Canceled, "") })
	case t.net.is(leaksConn):
		go leakHandler(t.net.stuck)
	}
	return near, nil
}

// leakHandler is a goroutine that nobody ends before the test does.
func leakHandler(until <-chan struct{}) { <-until }

func (t *refTransport) Listen(_ context.Context, a transport.Addr) (transport.Listener, error) {
	if t.isClosed() && !t.net.is(listensAfterClose) {
		return nil, fmt.Errorf("listen: %w", transport.ErrClosed)
	}
	if !a.ID.IsZero() && t.net.is(listenChecksID) {
		return nil, fmt.Errorf("listen at %v: not this node", a)
	}
	t.net.mu.Lock()
	t.net.names++
	a = transport.Addr{Scheme: "ref", ID: t.id, Host: fmt.Sprint("name", t.net.names)}
	l := &refListener{t: t, addr: a, backlog: make(chan *refConn, 64), done: make(chan struct{})}
	t.net.listen[a.Host] = l
	t.net.mu.Unlock()
	t.mu.Lock()
	t.listeners = append(t.listeners, l)
	t.mu.Unlock()
	return l, nil
}

func (t *refTransport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func (t *refTransport) busy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if c.ctx.Err() == nil {
			return true
		}
	}
	return false
}

func (t *refTransport) add(c *refConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.conns[c] = struct{}{}
	return true
}

func (t *refTransport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	listeners, conns := slices.Clone(t.listeners), slices.Collect(maps.Keys(t.conns))
	t.mu.Unlock()
	if first {
		close(t.done)
	}
	for _, l := range listeners {
		l.Close()
	}
	for _, c := range conns {
		if !t.net.is(closeSparesConns) {
			c.CloseWithError(kith.Unavailable, "transport closed")
		}
	}
	return nil
}

type refListener struct {
	t       *refTransport
	addr    transport.Addr
	done    chan struct{}
	mu      sync.Mutex
	closed  bool // guarded by mu
	heldUp  bool // guarded by mu; by garbage
	all     []*refConn
	backlog chan *refConn // sent to under mu
}

func (l *refListener) Addr() transport.Addr {
	switch {
	case l.t.net.is(addrWithoutID):
		return l.addr.WithID(kith.ID{})
	case l.t.net.is(addrHasOtherID):
		return l.addr.WithID(kith.NewKey().ID())
	}
	return l.addr
}

func (l *refListener) offer(c *refConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.all = append(l.all, c)
	select {
	case l.backlog <- c:
		return true
	default:
		return false
	}
}

// garbage is what Setup.Garbage sends.
func (l *refListener) garbage(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p) == 0 && l.t.net.is(silenceHoldsUp) || len(p) != 0 && l.t.net.is(garbageHoldsUp) {
		l.heldUp = true
	}
}

func (l *refListener) Accept(ctx context.Context) (transport.Conn, error) {
	if l.t.net.is(acceptIgnoresCtx) {
		ctx = context.Background()
	}
	l.mu.Lock()
	heldUp := l.heldUp
	l.mu.Unlock()
	if heldUp {
		<-l.done
	}
	done := l.done
	if l.t.net.is(closeLeavesAccept) {
		done = nil
	}
	select {
	case <-ctx.Done():
		if l.t.net.is(acceptLosesConn) {
			select {
			case <-l.backlog:
			default:
			}
		}
		return nil, ctx.Err()
	case <-done:
		return nil, transport.ErrClosed
	case c := <-l.backlog:
		return c, nil
	}
}

func (l *refListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.done)
	l.t.net.mu.Lock()
	delete(l.t.net.listen, l.addr.Host)
	l.t.net.mu.Unlock()
	if l.t.net.is(closeEndsAccepted) {
		for _, c := range l.all {
			c.CloseWithError(kith.Unavailable, "listener closed")
		}
	}
	for !l.t.net.is(closeLeavesUnaccepted) {
		select {
		case c := <-l.backlog:
			c.CloseWithError(kith.Unavailable, "listener closed")
		default:
			return nil
		}
	}
	return nil
}

func randomBinding() (b [32]byte) {
	rand.Read(b[:])
	return b
}
