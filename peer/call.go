package peer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
)

// A Peer is a handle to one peer. It is a [kith.Caller]: its calls go over the
// connection there is, or connect first. A call that was refused since its connection was
// drained moves to the pair's other connection; an Idempotent one that was lost is
// made once more. Get one from [Node.Peer]; its methods may be called from any
// number of goroutines. There is nothing to close.
type Peer struct {
	n  *Node
	id kith.ID

	pair atomic.Pointer[pair] // as last used; may be gone
}

// ID returns the peer's identity.
func (p *Peer) ID() kith.ID { return p.id }

// Info returns what is known of the peer now; of one that is not known, its ID.
func (p *Peer) Info() Info {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if pr := p.n.pairs[p.id]; pr != nil {
		return pr.infoLocked()
	}
	return Info{ID: p.id}
}

// Invoke implements [kith.Caller].
func (p *Peer) Invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	if pr := p.pair.Load(); pr != nil {
		if k := pr.live.Load(); k != nil {
			answer, err := k.s.Invoke(ctx, r)
			if err == nil {
				return answer, nil
			}
			return p.invokeAgain(ctx, r, &try{pair: pr, link: k, err: err})
		}
	}
	return p.invokeAgain(ctx, r, nil)
}

func (p *Peer) invokeAgain(ctx context.Context, r kith.Request, first *try) ([]byte, error) {
	if t := r.Method.Timeout(); t > 0 && first == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t) // waiting for a connection counts
		defer cancel()
	}
	var answer []byte
	err := p.again(ctx, r, first, func(k *link) (err error) {
		answer, err = k.s.Invoke(ctx, r)
		return err
	})
	return answer, err
}

// Open implements [kith.Caller].
func (p *Peer) Open(ctx context.Context, r kith.Request) (kith.CallStream, error) {
	var stream kith.CallStream
	err := p.again(ctx, r, nil, func(k *link) (err error) {
		stream, err = k.s.Open(ctx, r)
		return err
	})
	return stream, err
}

// A try is a call that failed on a link.
type try struct {
	pair *pair
	link *link
	err  error
}

// maxTries is how often a call is made, on one connection after the other.
const maxTries = 4

// again makes a call by do, until it has an outcome. It begins with what a first
// try came to, if there was one.
func (p *Peer) again(ctx context.Context, r kith.Request, t *try, do func(*link) error) error {
	for n := 1; ; n++ {
		if t != nil {
			if !p.n.mayMove(ctx, r.Method, t) || n > maxTries {
				return callErr(r.Method, p.id, t.err)
			}
		}
		pr, k, err := p.acquire(ctx, r.WaitForReady)
		if err != nil {
			return callErr(r.Method, p.id, err)
		}
		if err = do(k); err == nil {
			return nil
		}
		t = &try{pr, k, err}
	}
}

// acquire returns the peer's link, connecting if there is none. Unless patient, it
// fails when all addresses have failed.
func (p *Peer) acquire(ctx context.Context, patient bool) (*pair, *link, error) {
	n := p.n
	n.mu.Lock()
	defer n.mu.Unlock()
	var waiting *pair
	var fails uint64
	defer func() {
		if waiting != nil {
			waiting.leaveLocked()
		}
	}()
	for {
		if n.state != joined && n.state != joining {
			return nil, nil, n.notJoined()
		}
		pr := n.pairLocked(p.id)
		if pr == nil {
			return nil, nil, errPeers
		}
		p.pair.Store(pr)
		if pr.winner != nil {
			return pr, pr.winner, nil
		}
		if waiting != pr {
			if waiting != nil {
				waiting.leaveLocked()
			}
			waiting, fails = pr, pr.fails
			pr.waiting++
			pr.wake() // dialLoop need not be polite any more
		}
		if p.id == n.id {
			return nil, nil, errSelf
		}
		if pr.fails != fails && !patient {
			return nil, nil, pr.err
		}
		if ctx.Err() != nil {
			return nil, nil, waitErr(ctx, pr.err)
		}
		n.startDialLocked(pr)
		changed := pr.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		n.mu.Lock()
	}
}

// leaveLocked ends a caller's waiting.
func (p *pair) leaveLocked() {
	if p.waiting--; p.waiting == 0 && !p.gone {
		p.wake()
		if !p.knownLocked() && p.unusedLocked() {
			p.n.dropLocked(p)
		}
	}
}

func (n *Node) notJoined() error {
	if n.state == fresh {
		return errNotJoined
	}
	return ErrClosed
}

var errNotJoined = kith.NewError(kith.FailedPrecondition, "not_joined", "call Join first").Refusal()

// mayMove reports whether a call that failed may be made on another
// connection to the peer, and takes note of what the failure says of its link.
func (n *Node) mayMove(ctx context.Context, m *kith.Method, t *try) bool {
	var f *session.Failure
	if !errors.As(t.err, &f) {
		return false // the peer's answer, or an error of the call itself
	}
	if errors.Is(t.err, context.DeadlineExceeded) {
		n.suspect(t.pair)
		return false
	}
	if ctx.Err() != nil || f.Code() != kith.Unavailable || !f.Unprocessed() && !m.Idempotent() {
		return false
	}
	if planted.has(staysOnDrained) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t.link.draining = true // or ended
	n.settleLocked(t.pair)
	return true
}

// callErr says which call to which peer went wrong.
func callErr(m *kith.Method, id kith.ID, err error) error {
	var f *session.Failure
	var e *kith.Error
	if errors.As(err, &e) && kith.Remote(e) && !errors.As(err, &f) {
		return err // the peer's answer
	}
	return &callError{method: m, id: id, err: err}
}

// A callError says which peer a call could not be made to.
type callError struct {
	method *kith.Method
	id     kith.ID
	err    error
}

// Error implements error.
func (e *callError) Error() string {
	return fmt.Sprintf("call %s to peer %s: %v", e.method.Name(), e.id.Short(), e.err)
}

// Unwrap returns the cause.
func (e *callError) Unwrap() error { return e.err }

// Code returns the cause's code.
func (e *callError) Code() kith.Code { return kith.CodeOf(e.err) }

// Unprocessed reports whether the call was made nowhere.
func (e *callError) Unprocessed() bool { return kith.Unprocessed(e.err) }

// waitErr is why a call ended with its ctx that waited for a connection. What was tried
// is text only: that this side gave up is the cause.
func waitErr(ctx context.Context, tried error) error {
	f := &waitError{ctx: ctx.Err()}
	if tried != nil {
		f.tried = tried.Error()
	}
	return f
}

type waitError struct {
	ctx   error
	tried string
}

func (e *waitError) Error() string {
	if e.tried == "" {
		return fmt.Sprintf("wait for a connection: %v", e.ctx)
	}
	return fmt.Sprintf("wait for a connection: %v (%s)", e.ctx, e.tried)
}

func (e *waitError) Unwrap() error     { return e.ctx }
func (e *waitError) Code() kith.Code   { return kith.CodeOf(e.ctx) }
func (e *waitError) Unprocessed() bool { return true }
