package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/internal/backoff"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

const (
	// stagger is how much later than one address the next is tried.
	stagger = 150 * time.Millisecond
	// parallel is how many addresses of a peer are tried at a time.
	parallel = 4
	// politeMin and politeMax bound how long the node with the larger ID waits for the
	// other to dial.
	politeMin, politeMax = 250 * time.Millisecond, 500 * time.Millisecond
	// dialBurst and dialRate bound the dialling of neighbours, at once and per second.
	dialBurst, dialRate = 64, 20
	// findTime is how long after Join a call waits for its peer to be found.
	findTime = time.Second
	// meshStrikes is how often a neighbour may not be reached while others wait for its place.
	meshStrikes = 2
	// meshPause is how long a peer that has neighbours enough is left alone.
	meshPause = time.Minute
)

// startDialLocked starts dialLoop if a connection is wanted, and it does not
// run.
func (n *Node) startDialLocked(p *pair) {
	if p.dialing || !n.wantedLocked(p) || !n.enterLocked() {
		return
	}
	p.dialing = true
	go n.dialLoop(p)
}

func (n *Node) wantedLocked(p *pair) bool {
	switch {
	case n.state != joined && n.state != joining, p.gone, p.winner != nil, p.id == n.id:
		return false
	}
	return p.waiting > 0 || p.neighbour && p.knownLocked() && len(p.addrsLocked()) > 0
}

// dialLoop connects to a peer. It ends when there is a connection, when none is wanted
// any more, and with the node.
func (n *Node) dialLoop(p *pair) {
	defer n.loops.Done()
	for n.pause(p) {
		n.round(p)
	}
}

// pause waits until the next round may begin, and reports false if there is to
// be none: dialLoop does not run any more then.
func (n *Node) pause(p *pair) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		if !n.wantedLocked(p) {
			p.dialing = false
			if !p.knownLocked() && p.unusedLocked() && !p.gone {
				n.settleLocked(p)
			}
			return false
		}
		left := time.Until(p.hold)
		if p.waiting > 0 && p.strikes == 0 {
			left = 0 // being polite is for those who have no call to make
		}
		if len(p.addrsLocked()) == 0 {
			left = max(left, time.Until(n.joinedAt.Add(findTime))) // discovery may be about to tell
		}
		if left <= 0 && (p.waiting > 0 || n.dials.take(time.Now())) {
			return true
		}
		changed := p.changed
		n.mu.Unlock()
		t := time.NewTimer(max(left, time.Second/dialRate))
		select {
		case <-t.C:
		case <-changed:
		case <-n.ctx.Done():
		}
		t.Stop()
		n.mu.Lock()
	}
}

// round tries the peer's addresses, one a moment after the other, until one
// leads to a connection or all have failed.
func (n *Node) round(p *pair) {
	n.mu.Lock()
	addrs := p.dialableLocked()
	eager := p.waiting == 0
	n.mu.Unlock()
	// The end of ctx ends attempts that have sent no hello.
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	results := make(chan client.Attempt, len(addrs))
	var failed []client.Attempt
	next, flying := 0, 0
	var tick <-chan time.Time
	for {
		for next < len(addrs) && flying < parallel && tick == nil {
			if !n.launch(ctx, p, addrs[next], eager, results) {
				return
			}
			next, flying = next+1, flying+1
			if next < len(addrs) {
				tick = time.After(stagger)
			}
		}
		if flying == 0 {
			break
		}
		select {
		case r := <-results:
			flying--
			if r.Err == nil {
				return
			}
			failed = append(failed, r)
			tick = nil // the next need not wait any longer
		case <-tick:
			tick = nil
		case <-n.ctx.Done():
			return
		}
	}
	p.suspect(n.roundFailed(p, failed))
}

// roundFailed takes note of it, and returns the browsers to ask whether the peer is still there.
func (n *Node) roundFailed(p *pair, failed []client.Attempt) (ask []discovery.Browser) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.winner != nil {
		return nil
	}
	p.fails++
	p.strikes++
	p.err = errUnknown
	if len(failed) > 0 {
		p.err = &client.DialError{Attempts: failed}
	}
	p.hold = time.Now().Add(backoff.Pause(n.cfg.BackoffBase, n.cfg.BackoffMax, p.strikes))
	refused := kith.CodeOf(p.err) == kith.ResourceExhausted
	if p.neighbour && p.waiting == 0 && (refused || p.strikes >= meshStrikes && n.meshFullLocked() && n.meshWantedLocked()) {
		n.leaveMeshLocked(p)
	}
	n.logLocked(slog.LevelDebug, "peer not reached", slog.String("peer", p.id.Short()), slog.String("err", cutText(p.err.Error())))
	if !slices.ContainsFunc(failed, func(a client.Attempt) bool { return kith.Remote(a.Err) }) {
		ask = n.foundByLocked(p)
	}
	p.wake()
	n.tellLocked(p)
	return ask
}

// errUnknown is why a peer without an address cannot be called.
var errUnknown = kith.NewError(kith.Unavailable, "unknown_peer",
	"no address of this peer is known: discovery has not heard from it, and it was never connected").Refusal()

// launch begins an attempt, and reports false if the node is closed.
func (n *Node) launch(ctx context.Context, p *pair, a transport.Addr, eager bool, results chan<- client.Attempt) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.enterLocked() {
		return false
	}
	n.totals.Dials++
	go n.attemptHandler(ctx, p, a, eager, results)
	return true
}

// attemptHandler makes one attempt. It is bounded by DialTimeout, and ends with
// the node.
func (n *Node) attemptHandler(ctx context.Context, p *pair, a transport.Addr, eager bool, results chan<- client.Attempt) {
	defer n.loops.Done()
	r := client.Attempt{Addr: a, At: time.Now()}
	err := n.attempt(ctx, p, a, eager)
	r.Took = time.Since(r.At)
	if err != nil {
		n.mu.Lock()
		n.totals.Failed++
		n.mu.Unlock()
		r.Err = err
		if !kith.Remote(err) && errors.Is(err, context.DeadlineExceeded) {
			r.Err = fmt.Errorf("no answer within %v: %w", n.cfg.DialTimeout, os.ErrDeadlineExceeded)
		} else if !kith.Remote(err) && errors.Is(err, context.Canceled) {
			r.Err = errors.New("given up for another address")
		}
	}
	results <- r // there is room for all
}

// attempt tries one address. The end of ctx ends it as long as it has sent no hello;
// afterwards the peer may have calls on the connection, whatever other attempts came to.
func (n *Node) attempt(ctx context.Context, p *pair, a transport.Addr, eager bool) error {
	after := n.ctx
	if planted.has(abandonsAttempts) {
		after = ctx
	}
	sent, cancelSent := n.bounded(after)
	defer cancelSent()
	dialing, cancel := n.bounded(ctx)
	defer cancel()
	conn, err := n.transport.Dial(dialing, a)
	if err != nil {
		return err
	}
	if err := transport.CheckPeer(a, conn.Info()); err != nil {
		_ = conn.CloseWithError(kith.Unauthenticated, "not the peer that was dialled")
		return err
	}
	n.mu.Lock()
	eager = eager && p.neighbour // it may have had to make room
	pairing, ok := p.begin(eager)
	if ok && (p.winner != nil || ctx.Err() != nil || n.state > joined || !p.neighbour && p.waiting == 0) {
		p.failed(pairing.Attempt)
		ok = false
	}
	n.mu.Unlock()
	if !ok {
		_ = conn.CloseWithError(kith.Canceled, "another connection was faster")
		return context.Canceled
	}
	s, err := session.DialPaired(sent, conn, &n.scfg, pairing)
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		p.failed(pairing.Attempt)
		n.settleLocked(p)
		return err
	}
	if !n.admitted(p, s, pairing, a) {
		_ = s.Close(kith.Canceled, "node closed")
		return ErrClosed
	}
	return nil
}

// admitted takes in a connection to which the peer has agreed. It reports false if the
// node is closed.
func (n *Node) admitted(p *pair, s *session.Session, pairing session.Pairing, a transport.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state == closed {
		p.failed(pairing.Attempt)
		return false
	}
	r := s.Remote()
	k := &link{s: s, dialed: true, attempt: pairing.Attempt, theirs: r.Attempt, instance: r.Instance, eager: pairing.Eager}
	n.watchInstanceLocked(p, k.instance)
	n.closeDeadLocked(p.admitted(k))
	a.ID = kith.ID{}
	p.rememberLocked(a.String())
	n.heldLocked(p, k)
	if n.state == leaving && n.enterLocked() {
		k.draining = true // the peer may have calls on it
		go n.drainHandler(k)
	}
	n.settleLocked(p)
	return true
}

func (n *Node) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if n.cfg.DialTimeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, n.cfg.DialTimeout)
}

// dialableLocked returns the peer's addresses in the order in which to try them:
// QUIC first, of each transport those that discovery says before remembered ones.
func (p *pair) dialableLocked() []transport.Addr {
	var addrs []transport.Addr
	for _, text := range p.addrsLocked() {
		a, err := transport.ParseAddr(text)
		if err != nil || !a.ID.IsZero() && a.ID != p.id {
			continue
		}
		a.ID = p.id
		addrs = append(addrs, a)
	}
	slices.SortStableFunc(addrs, func(a, b transport.Addr) int { return rank(a.Scheme) - rank(b.Scheme) })
	return addrs
}

func rank(scheme string) int {
	if scheme == "quic" {
		return 0
	}
	return 1
}

// maxText is the length at which text that may come from outside is cut.
const maxText = 256

func cutText(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
