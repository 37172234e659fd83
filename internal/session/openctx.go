package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// streamPatience is how long a call waits for a stream while none of those
// open ends. Where one does, those that wait get on, if slowly; where none
// does, somebody forgets to end them.
const streamPatience = 10 * time.Second

// errLeaked is the cause of a call that waited for streamPatience.
var errLeaked = errors.New("close every Duplex, and range over answers to the end or break; " +
	"or raise MaxStreams of the other side's transport")

// openCtx is the ctx in which a stream is opened: that of the call, ended also
// by streamPatience. It costs nothing until a transport that has to wait asks
// for Done.
type openCtx struct {
	context.Context // of the call
	s               *Session

	mu     sync.Mutex    // taken before Session.mu
	err    error         // guarded by mu
	done   chan struct{} // made by the first Done; closed with err; guarded by mu
	stop   func() bool   // guarded by mu
	timer  *time.Timer   // guarded by mu
	ends   uint64        // of stream calls, when timer was set; guarded by mu
	leaked bool          // streamPatience was over; guarded by mu
}

// openFor opens a stream for a call whose ctx is ctx.
func (s *Session) openFor(ctx context.Context, what string) (transport.Stream, error) {
	x := &openCtx{Context: ctx, s: s}
	st, err := s.conn.OpenStream(x)
	waited, leaked := x.release()
	if err == nil {
		return st, nil
	}
	if ce := transport.ConnErr(s.conn.Context()); ce != nil {
		return nil, s.lost(what, ce, true)
	}
	full := fmt.Errorf("%d streaming calls are open on this connection, as many as the other side allows", s.OpenStreams()-1)
	switch {
	case leaked:
		err = fmt.Errorf("%w, and none has ended for %v: %w", full, streamPatience, errLeaked)
		return nil, &Failure{code: kith.ResourceExhausted, what: what, cause: err, unprocessed: true}
	case waited && ctx.Err() != nil:
		err = fmt.Errorf("%w: %w: %w", ctx.Err(), full, errLeaked)
	}
	return nil, s.failure(what, err, true)
}

// Done implements [context.Context].
func (x *openCtx) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		x.done = make(chan struct{})
		x.ends = x.s.opening(1)
		x.stop = context.AfterFunc(x.Context, func() { x.end(x.Context.Err(), false) })
		x.timer = time.AfterFunc(streamPatience, x.look)
	}
	return x.done
}

// Err implements [context.Context].
func (x *openCtx) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return x.err
	}
	return x.Context.Err()
}

// look ends the waiting if no call has ended since it began, or since the last
// look.
func (x *openCtx) look() {
	_, ends := x.s.streamCount()
	x.mu.Lock()
	same := ends == x.ends
	x.ends = ends
	if !same && x.err == nil {
		x.timer.Reset(streamPatience)
	}
	x.mu.Unlock()
	if same {
		x.end(context.DeadlineExceeded, true)
	}
}

// end ends the ctx. The first call decides.
func (x *openCtx) end(err error, leaked bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err, x.leaked = err, leaked
		close(x.done)
	}
}

// release gives back what the ctx holds, and tells whether there was waiting,
// and whether it ended by streamPatience.
func (x *openCtx) release() (waited, leaked bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		return false, false
	}
	x.s.opening(-1)
	x.stop()
	x.timer.Stop()
	leaked = x.leaked
	if x.err == nil {
		x.err = context.Canceled
		close(x.done)
	}
	return true, leaked
}

// OpenStreams returns how many streaming calls of this side's are open, large
// and isolated unary ones included, and without those that wait for a stream.
func (s *Session) OpenStreams() int {
	open, _ := s.streamCount()
	return open
}

// streamCount returns how many stream calls of this side's are open and do not
// wait for a stream, and how many that had one have ended.
func (s *Session) streamCount() (open int, ended uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.streams - s.out.opening, s.out.endedStreams()
}

// opening counts a call that waits for a stream, or does so no more, and
// returns how many calls that had one have ended.
func (s *Session) opening(n int) (ended uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.opening += n
	return s.out.endedStreams()
}

func (o *outbox) endedStreams() uint64 { return o.streamNo - o.unopened - uint64(o.streams) }
