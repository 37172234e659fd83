package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// A Session makes and serves calls on one connection, which it owns. Get one
// from [Dial], [Start] or [Accept]. It is a [kith.Caller]. Its methods may be
// called from any number of goroutines. Whoever got it must end it with Close
// or Drain; it ends by itself when the connection does.
type Session struct {
	conn transport.Conn
	cfg  *Config
	link laneLink   // set by open; at the accepting end perhaps again, before anything is written
	try  laneTrier  // nil if the link has none
	lead laneLeader // nil where nobody reads but the reader
	base time.Time  // what the times below count from

	ready  chan struct{} // closed by the reader when hello is over
	ended  chan struct{} // closed by end, after err is set
	err    error         // why the session ended; set before ended closes
	remote wire.Hello    // what the other side said; set before ready closes
	peer   *kith.Peer    // who it is; set before ready closes

	dialed bool // this side dialled
	// pushed is true where the connection's reader hands over the other side's
	// streams; accepting, where acceptLoop runs since before hello. Both are set
	// by open.
	pushed, accepting bool
	claimed           atomic.Bool // the lane was found, see muxLane
	admitted          atomic.Bool // the other side may call

	// kick starts flushLoop. It is kept as a value so that starting it does not
	// allocate.
	kick  func()
	loops sync.WaitGroup // flushLoop, laneLoop, acceptLoop

	mu       sync.Mutex
	drain    signal // this side began to drain, or the session ended; guarded by mu
	done     signal // the other side's DONE came; guarded by mu
	out      outbox // guarded by mu
	lane     laneBuffer
	ping     pinger   // guarded by mu, but for its atomics
	over     bool     // onConnEnd has run; guarded by mu
	afterEnd []func() // what is to run then; guarded by mu

	in       inbox
	turn     turn // guarded by Workers.mu
	outcomes outcomes
	after    afterFlush
	calls    callPool
	claims   claims
	read     laneReader // the reader's own

	heard atomic.Int64 // when the lane's last bytes came, since base
}

// A laneLink is where the lane's bytes go.
type laneLink interface {
	// WriteLane writes p[mux.Headroom:]; what is before is scratch. One goroutine
	// calls it at a time.
	WriteLane(p []byte) error
}

// A laneTrier is a laneLink that can write without waiting.
type laneTrier interface {
	// TryLane is WriteLane if that does not wait, else it does nothing and
	// returns false. Who is patient may have to wait all the same.
	TryLane(p []byte, patient bool) bool
}

// Dial starts a session on a connection that this side dialled and waits until
// the other side has admitted it. When ctx ends first, or hello fails, the
// connection is closed. A refusal is a remote [kith.Error].
func Dial(ctx context.Context, conn transport.Conn, cfg *Config) (*Session, error) {
	return DialPaired(ctx, conn, cfg, Pairing{})
}

// Start starts a session on a connection that this side dialled, and returns
// as soon as calls can be made: if nothing needs to be known of the other side
// first, they follow hello in the same flight.
func Start(ctx context.Context, conn transport.Conn, cfg *Config) (*Session, error) {
	return start(ctx, conn, cfg, Pairing{})
}

func start(ctx context.Context, conn transport.Conn, cfg *Config, p Pairing) (*Session, error) {
	s := newSession(conn, cfg)
	h := cfg.hello()
	p.addTo(&h)
	if cfg.Admit != nil {
		proof, err := cfg.Admit.Present(ctx, conn.Info())
		if err != nil {
			_ = conn.CloseWithError(kith.Canceled, "")
			return nil, &Failure{code: kith.Unauthenticated, what: "present to the other side", cause: err, unprocessed: true}
		}
		if len(proof) > wire.MaxProof {
			_ = conn.CloseWithError(kith.Canceled, "")
			return nil, &Failure{code: kith.Internal, what: "present to the other side", cause: errProof, unprocessed: true}
		}
		h.Proof = proof
	}
	s.out.early = cfg.Admit == nil
	s.mu.Lock()
	s.appendHelloLocked(wire.FrameHello, &h)
	s.mu.Unlock()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Accept starts a session on an accepted connection and returns when the other
// side is admitted. When ctx or the hello timeout ends first, or the other
// side is refused, it is told so and the connection closed.
func Accept(ctx context.Context, conn transport.Conn, cfg *Config) (*Session, error) {
	s := newSession(conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, cfg.HelloTimeout)
	defer cancel()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		_ = s.Close(kith.CodeOf(err), "hello not finished")
		return nil, err
	}
	return s, nil
}

func newSession(conn transport.Conn, cfg *Config) *Session {
	s := &Session{
		conn: conn, cfg: cfg, dialed: conn.Info().Dialed, base: time.Now(),
		ready: make(chan struct{}), ended: make(chan struct{}),
	}
	s.kick = s.flushLoop
	s.out.max = 1 // until hello says more
	return s
}

// open connects the session to the connection's lane and begins to read.
func (s *Session) open(ctx context.Context) error {
	if s.startMuxLane() {
		if !s.pushed { // the end of what is around the mux counts
			context.AfterFunc(s.conn.Context(), s.onConnEnd)
		}
	} else {
		st, err := s.firstStream(ctx)
		if err != nil {
			f := s.failure("open lane", err, true)
			_ = s.conn.CloseWithError(f.code, "no hello")
			return f
		}
		s.link = streamLink{st}
		context.AfterFunc(s.conn.Context(), s.onConnEnd)
		s.loops.Go(func() { s.laneLoop(st) })
	}
	s.mu.Lock()
	s.startPingsLocked()
	s.flushLocked()
	s.mu.Unlock()
	return nil
}

func (s *Session) firstStream(ctx context.Context) (transport.Stream, error) {
	if s.dialed {
		return s.conn.OpenStream(ctx)
	}
	return s.conn.AcceptStream(ctx)
}

// Ready waits until hello is over. It returns nil once calls flow, the remote
// refusal, or how the session ended.
func (s *Session) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-s.ended:
		select {
		case <-s.ready:
			return nil // what happened after is the calls' business
		default:
		}
		return s.err
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.out.refusal != nil {
			return s.out.refusal
		}
		return gaveUp(ctx, "hello", true)
	}
}

// Peer returns who the other side is. It may be called once hello is over.
func (s *Session) Peer() *kith.Peer { return s.peer }

// Info describes the connection.
func (s *Session) Info() transport.Info { return s.conn.Info() }

// Ended returns a channel that is closed when the session has ended; Err
// tells why.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Err returns why the session ended, nil if it has not.
func (s *Session) Err() error {
	select {
	case <-s.ended:
		return s.err
	default:
		return nil
	}
}

// Close ends the session and its connection at once, telling the other side
// code and reason, unless it is ending for an earlier reason: that is told
// then. Calls on both sides fail; the ctx of handlers is cancelled. It joins
// all goroutines but the handlers', and may be called from one.
func (s *Session) Close(code kith.Code, reason string) error {
	why := s.endFor(code, reason)
	err := s.conn.CloseWithError(why.Code, why.Reason)
	s.loops.Wait()
	return err
}

// onConnEnd runs when the connection has ended, on a goroutine of its own. Closing
// it then gives back what it holds, whoever ended it.
func (s *Session) onConnEnd() {
	ce := transport.ConnErr(s.conn.Context())
	if ce == nil {
		ce = &transport.ConnError{Code: kith.Unavailable, Err: context.Cause(s.conn.Context())}
	}
	s.end(ce)
	<-s.ended // if somebody else is at it, err is not set yet
	s.mu.Lock()
	s.over = true
	after := s.afterEnd
	s.afterEnd = nil
	s.mu.Unlock()
	for _, f := range after {
		go f()
	}
	_ = s.conn.CloseWithError(ce.Code, "")
}

// AfterEnd runs f on a goroutine of its own when the session and its connection
// have ended.
func (s *Session) AfterEnd(f func()) {
	s.mu.Lock()
	over := s.over
	if !over {
		s.afterEnd = append(s.afterEnd, f)
	}
	s.mu.Unlock()
	if over {
		go f()
	}
}

// end gives every call its outcome. The first call decides.
func (s *Session) end(why *transport.ConnError) {
	s.mu.Lock()
	if s.out.dead != nil {
		s.mu.Unlock()
		return
	}
	if !s.out.live && s.dialed && why.Remote && why.Code == kith.ResourceExhausted && s.out.refusal == nil {
		// A side that has no room for the connection says so in closing it, and
		// only then closes with this code.
		s.out.refusal = &Failure{code: why.Code, what: "hello", cause: why, unprocessed: true}
	}
	refusal := s.out.refusal
	s.out.dead = why
	calls := s.out.takeAll()
	s.lane.drop()
	s.appendOutcomesLocked()
	s.wakeAllLocked()
	s.stopPingsLocked()
	s.drain.fire()
	s.mu.Unlock()

	s.err = s.lost("session", why, false)
	if refusal != nil {
		s.err = refusal
	}
	close(s.ended)
	for _, c := range calls {
		if refusal != nil {
			c.deliver(outcome{err: refusal})
		} else {
			c.deliver(outcome{err: s.lost(c.what(), why, false)})
		}
	}
	s.in.cancelAll()
	if w := s.cfg.Workers; w != nil {
		w.forget(s)
	}
}

// kill ends the connection because of what the other side did, or because it
// says nothing any more.
func (s *Session) kill(code kith.Code, reason string) {
	why := s.endFor(code, reason)
	_ = s.conn.CloseWithError(why.Code, why.Reason)
}

// endFor ends the session, and returns what it ended for: what came first, of
// which this may be a consequence.
func (s *Session) endFor(code kith.Code, reason string) *transport.ConnError {
	s.end(&transport.ConnError{Code: code, Reason: reason})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.dead
}
