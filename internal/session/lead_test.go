package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// A muxTransport connects over our own mux and pipes whose reads can be
// interrupted, all of which works in virtual time.
type muxTransport struct{ conns chan transport.Conn }

func overMux() muxTransport { return muxTransport{make(chan transport.Conn, 1)} }

func (m muxTransport) Dial(context.Context, transport.Addr) (transport.Conn, error) {
	x, y := net.Pipe()
	m.conns <- mux.New(y, mux.Config{TimedReads: true})
	return mux.New(x, mux.Config{Dialed: true, TimedReads: true}), nil
}

func (m muxTransport) Listen(context.Context, transport.Addr) (transport.Listener, error) {
	return m, nil
}

func (m muxTransport) Accept(context.Context) (transport.Conn, error) { return <-m.conns, nil }
func (m muxTransport) Addr() transport.Addr                           { return transport.Addr{} }
func (m muxTransport) Close() error                                   { return nil }

var swayed = kith.Unary[int, int]("test/Swayed")

// What a handler of swayed does, after many calls of swayEcho.
const (
	swayEcho  = iota
	swayBlock // until released
	swayWait  // for ctx
	swayPanic
	swayExit  // its goroutine
	swayCall  // back
	swayClose // its session
	swayDrain // its session, until ctx ends
	swaySlow  // 100 us
)

// A loneRig is a pair whose dialling side has called swayed so often that it may
// read its answers itself, and that the other side's reader may run the handler.
type loneRig struct {
	pair
	begun   chan mux.Role // who had the role when a handler of swayBlock or swayWait began
	release chan struct{}
	lent    int // how many calls of swayEcho the reader ran; one call at a time
}

// loneRig makes a rig over tr, which is our own mux if virtual is true.
func newLoneRig(t *testing.T, tr transport.Transport, virtual bool, edit func(*session.Config)) *loneRig {
	t.Helper()
	r := &loneRig{begun: make(chan mux.Role, 16), release: make(chan struct{})}
	role := func() (role mux.Role) {
		if virtual {
			role = r.accepted.Role()
		}
		return role
	}
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	swayed.Handle(&h, func(ctx context.Context, what int) (int, error) {
		switch what {
		case swayEcho:
			if role() == mux.RoleLent {
				r.lent++
			}
		case swayBlock:
			r.begun <- role()
			<-r.release
		case swayWait:
			r.begun <- role()
			<-ctx.Done()
			return 0, ctx.Err()
		case swayPanic:
			panic("as told")
		case swayExit:
			runtime.Goexit()
		case swayCall:
			_, err := echo.Call(ctx, kith.CallerFrom(ctx), []byte("back"))
			return what, err
		case swayClose:
			return what, r.accepted.Close(kith.OK, "from a handler")
		case swayDrain:
			return what, r.accepted.Drain(ctx)
		case swaySlow:
			time.Sleep(100 * time.Microsecond)
		}
		return what, nil
	})
	r.pair = connect(t, tr, &h, edit)
	r.warm(t)
	return r
}

func (r *loneRig) warm(t *testing.T) {
	t.Helper()
	for range 300 {
		if _, err := swayed.Call(t.Context(), r.dialed, swayEcho); err != nil {
			t.Fatalf("Call = %v", err)
		}
	}
}

func (r *loneRig) call(ctx context.Context, what int) chan error {
	ch := make(chan error, 1)
	go func() {
		_, err := swayed.Call(ctx, r.dialed, what)
		ch <- err
	}()
	return ch
}

// lead calls swayed with what once the caller reads and the other side's reader
// runs handlers, and sees that they do so for this call.
func (r *loneRig) lead(ctx context.Context, t *testing.T, what int) chan error {
	t.Helper()
	for range 20 {
		synctest.Wait() // readLoop has retired if it is to
		lent := r.lent
		if _, err := swayed.Call(t.Context(), r.dialed, swayEcho); err != nil {
			t.Fatalf("Call = %v", err)
		}
		synctest.Wait()
		if r.dialed.Role() == mux.RoleFree && r.lent > lent {
			break
		}
	}
	r.wantRole(t, r.dialed, mux.RoleFree)
	got := r.call(ctx, what)
	synctest.Wait()
	if what == swayBlock || what == swayWait {
		if role := <-r.begun; role != mux.RoleLent {
			t.Fatalf("the handler began with the role %d, want %d", role, mux.RoleLent)
		}
		r.wantRole(t, r.dialed, mux.RoleLed)
	}
	return got
}

func (r *loneRig) wantRole(t *testing.T, s *session.Session, want mux.Role) {
	t.Helper()
	if got := s.Role(); got != want {
		t.Fatalf("Role() = %d, want %d", got, want)
	}
}

// inLone runs f in virtual time.
func inLone(t *testing.T, f func(t *testing.T, r *loneRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newLoneRig(t, overMux(), true, nil)) })
}

// A lone call takes no time but its handler's: nobody waits for the watch.
func TestLoneCallsTakeNoTime(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		r.accepted.BusyProcessors()
		start := time.Now()
		r.warm(t)
		<-r.lead(t.Context(), t, swayEcho)
		if took := time.Since(start); took != 0 {
			t.Errorf("300 calls took %v, want no time", took)
		}
		if r.lent < 250 {
			t.Errorf("the reader ran %d of 600 calls", r.lent)
		}
	})
}

// A caller that reads returns mux.MaxLead after its ctx at the latest.
func TestLedCallerGivesUp(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		defer close(r.release)
		ctx, cancel := context.WithCancel(t.Context())
		got := r.lead(ctx, t, swayBlock)
		start := time.Now()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("Call = %v, want %v", err, context.Canceled)
		}
		if took := time.Since(start); took > mux.MaxLead {
			t.Errorf("Call returned %v after its ctx, want at most %v", took, mux.MaxLead)
		}
	})
}

// A rawLone is a session that has made so many calls that its callers read, and the
// other end, which has answered them.
type rawLone struct {
	s *session.Session
	p *rawPeer
}

func newRawLone(t *testing.T) *rawLone {
	t.Helper()
	r := new(rawLone)
	r.s, r.p = rawPairOver(t, overMux(), true, echoHandlers(), func(c *session.Config) { c.MaxLaneCalls = 8192 })
	for range 20 {
		got := r.call(t.Context())
		r.p.write(answerFrame(r.nextCall()))
		if err := <-got; err != nil {
			t.Fatalf("Call = %v", err)
		}
		synctest.Wait()
	}
	r.wantRole(mux.RoleFree)
	return r
}

func (r *rawLone) call(ctx context.Context) chan error {
	got := make(chan error, 1)
	go func() {
		_, err := swayed.Call(ctx, r.s, swayEcho)
		got <- err
	}()
	return got
}

// nextCall returns the id of the call that comes next, once nothing else happens.
func (r *rawLone) nextCall() uint64 {
	r.p.t.Helper()
	typ, body := r.p.next()
	if typ != wire.FrameCall {
		r.p.t.Fatalf("a frame of type %d came, want a call", typ)
	}
	id, _, _ := wire.SplitNumber(body)
	synctest.Wait()
	return id
}

func (r *rawLone) wantRole(want mux.Role) {
	r.p.t.Helper()
	if got := r.s.Role(); got != want {
		r.p.t.Fatalf("Role() = %d, want %d", got, want)
	}
}

func answerFrame(id uint64) []byte {
	b := binary.AppendUvarint(wire.AppendLane(nil, wire.FrameAnswer), id)
	return wire.EndLane(append(wire.AppendTrailer(b, nil), '0'), 0)
}

// A caller that reads does not rest for what the other side sends beside its answer,
// which is the reader's to see to: it returns as soon as its ctx ends, or its answer is
// there.
func TestLedCallerDoesNotPayForOthers(t *testing.T) {
	calls := func(n int) (b []byte) {
		unknown := kith.Unary[string, string]("t/X")
		for range n {
			b = append(b, callFrame(0, &unknown.Method)...)
		}
		return b
	}
	pings := laneFrame(wire.FramePing, 0, 0, 0, 0, 0, 0, 0, 1)
	for name, tc := range map[string]struct {
		before, behind []byte
		answered       bool
	}{
		"calls that are refused":   {before: calls(3000)},
		"calls behind the answer":  {behind: calls(3000), answered: true},
		"calls before the answer":  {before: calls(1), answered: true},
		"a ping before the answer": {before: pings, answered: true},
		"half a frame":             {before: pings[:5]},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r := newRawLone(t)
				got := r.call(ctx)
				id := r.nextCall()
				r.wantRole(mux.RoleLed)
				piece := tc.before
				if tc.answered {
					piece = append(piece, answerFrame(id)...)
				}
				start := time.Now()
				r.p.write(append(piece, tc.behind...)) // is one frame of the mux
				if !tc.answered {
					cancel()
				}
				err := <-got
				if tc.answered && err != nil || !tc.answered && !errors.Is(err, context.Canceled) {
					t.Errorf("Call = %v", err)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("Call returned after %v, want no time", took)
				}
				if !tc.answered {
					r.wantRole(mux.RoleLoop)
				}
				time.Sleep(time.Second) // until the reader has rested
			})
		})
	}
}

// Who waits for a slot has the link read: nobody else may be there for the outcome
// that gives one back.
func TestWaitForASlotReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 16 // as many as the raw peer takes calls at once
		r := newRawLone(t)
		var first uint64
		for range slots {
			if err := tell.Call(t.Context(), r.s, ""); err != nil {
				t.Fatalf("Call = %v", err)
			}
			first = r.nextCall()
		}
		r.wantRole(mux.RoleFree)
		start := time.Now()
		got := r.call(t.Context())
		r.p.write(answerFrame(first))
		r.p.write(answerFrame(r.nextCall()))
		if err := <-got; err != nil {
			t.Errorf("Call = %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Call took %v, want no time", took)
		}
	})
}

// A deadline is kept to the moment: too near, the caller does not read; far, it
// has stopped long before.
func TestLedCallerKeepsItsDeadline(t *testing.T) {
	for _, left := range []time.Duration{time.Microsecond, time.Millisecond, mux.MaxLead, mux.MaxLead + 1, 10 * time.Millisecond} {
		inLone(t, func(t *testing.T, r *loneRig) {
			defer close(r.release)
			<-r.lead(t.Context(), t, swayEcho)
			synctest.Wait()
			r.wantRole(t, r.dialed, mux.RoleFree)
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			start := time.Now()
			if err := <-r.call(ctx, swayBlock); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Call = %v, want %v", err, context.DeadlineExceeded)
			}
			if took := time.Since(start); took != left {
				t.Errorf("Call returned after %v, want %v", took, left)
			}
		})
	}
}

// A handler that blocks where the reader runs it holds up others for mux.MaxLead,
// and for no longer.
func TestLentHandlerBlocks(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		got := r.lead(t.Context(), t, swayBlock)
		start := time.Now()
		if err := r.dialed.Ping(t.Context()); err != nil {
			t.Errorf("Ping = %v", err)
		}
		if took := time.Since(start); took > 2*mux.MaxLead { // at either end
			t.Errorf("Ping took %v, want at most %v", took, 2*mux.MaxLead)
		}
		r.wantRole(t, r.accepted, mux.RoleLoop)
		r.warm(t)
		close(r.release)
		if err := <-got; err != nil {
			t.Errorf("Call = %v", err)
		}
		r.warm(t)
	})
}

// A handler that looks at its ctx, or calls back, gives the reader up at once.
func TestLentHandlerWaits(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		ctx, cancel := context.WithCancel(t.Context())
		got := r.lead(ctx, t, swayWait)
		r.wantRole(t, r.accepted, mux.RoleLoop)
		cancel()
		<-got
		<-r.workers.Quiet()
		start := time.Now()
		for range 20 {
			if err := <-r.call(t.Context(), swayCall); err != nil {
				t.Fatalf("Call = %v", err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("calls back took %v, want no time", took)
		}
	})
	inLone(t, func(t *testing.T, r *loneRig) {
		start := time.Now()
		if err := <-r.lead(t.Context(), t, swayCall); err != nil {
			t.Fatalf("Call = %v", err)
		}
		if took := time.Since(start); took > mux.MaxLead { // the caller leads, and nobody looks for the call back
			t.Errorf("a call back took %v, want at most %v", took, mux.MaxLead)
		}
	})
}

// A handler that panics, or ends its goroutine, costs its call and no more.
func TestLentHandlerFails(t *testing.T) {
	for _, what := range []int{swayPanic, swayExit} {
		inLone(t, func(t *testing.T, r *loneRig) {
			if err := <-r.lead(t.Context(), t, what); kith.CodeOf(err) != kith.Internal {
				t.Errorf("Call(%d) = %v, want %v", what, err, kith.Internal)
			}
			r.warm(t)
			<-r.workers.Quiet()
			if n := r.workers.Busy(); n != 0 {
				t.Errorf("%d calls have a place, want none", n)
			}
		})
	}
}

// A handler may end its session where the reader runs it.
func TestLentHandlerEndsItsSession(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		if err := <-r.lead(t.Context(), t, swayClose); err == nil {
			t.Error("Call of a handler that closes its session = nil")
		}
		<-r.workers.Quiet()
	})
	inLone(t, func(t *testing.T, r *loneRig) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := <-r.lead(ctx, t, swayDrain); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Call = %v, want %v: its handler waits for itself", err, context.DeadlineExceeded)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("Call took %v, want a second", took)
		}
		<-r.workers.Quiet()
	})
}

// The end of the session, at either end, ends a call whose caller reads at once.
func TestCloseWhileLed(t *testing.T) {
	for name, end := range map[string]func(r *loneRig) *session.Session{
		"here":  func(r *loneRig) *session.Session { return r.dialed },
		"there": func(r *loneRig) *session.Session { return r.accepted },
	} {
		t.Run(name, func(t *testing.T) {
			inLone(t, func(t *testing.T, r *loneRig) {
				got := r.lead(t.Context(), t, swayBlock)
				start := time.Now()
				go end(r).Close(kith.Aborted, "enough")
				err := <-got
				if kith.CodeOf(err) != kith.Unavailable || kith.Unprocessed(err) {
					t.Errorf("Call = %v, want %v", err, kith.Unavailable)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("Call returned %v after the end", took)
				}
				close(r.release)
				<-r.workers.Quiet()
			})
		})
	}
}

// Callers that come one by one, together, and from both ends: nobody is forgotten,
// and one call behind the other is led again in the end.
func TestLoneCallersJoin(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		for range 8 {
			var wg sync.WaitGroup
			for i := range 4 {
				s := r.dialed
				if i == 3 {
					s = r.accepted
				}
				wg.Go(func() {
					for range 20 {
						if _, err := echo.Call(t.Context(), s, []byte("x")); err != nil {
							t.Errorf("Call = %v", err)
						}
					}
				})
			}
			wg.Wait()
			r.warm(t)
			if err := r.accepted.Ping(t.Context()); err != nil {
				t.Errorf("Ping = %v", err)
			}
		}
		for range 4 {
			r.warm(t)
		}
		<-r.lead(t.Context(), t, swayEcho) // once it is long ago that it was called itself
	})
}

// The reader does not run handlers that take long, nor those of two callers.
func TestReaderRunsQuickHandlersOnly(t *testing.T) {
	inLone(t, func(t *testing.T, r *loneRig) {
		for range 40 {
			if err := <-r.call(t.Context(), swaySlow); err != nil {
				t.Fatalf("Call = %v", err)
			}
		}
		r.lent = 0
		r.warm(t)
		if r.lent != 0 {
			t.Errorf("the reader ran %d of 300 calls after some that took long, want none", r.lent)
		}
		for range 5 {
			r.warm(t)
		}
		if r.lent == 0 {
			t.Error("the reader ran none of 1800 calls, want the last ones")
		}
	})
	inLone(t, func(t *testing.T, r *loneRig) {
		got := r.call(t.Context(), swayBlock)
		<-r.begun
		r.lent = 0
		r.warm(t)
		if r.lent != 0 {
			t.Errorf("the reader ran %d calls beside another one, want none", r.lent)
		}
		close(r.release)
		<-got
	})
}

// A call that the reader runs counts among the workers' like any other.
func TestLentCallsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := session.NewWorkers(1)
		defer w.Close()
		r := newLoneRig(t, overMux(), true, func(c *session.Config) { c.Workers = w })
		other := connect(t, overMux(), echoHandlers(), func(c *session.Config) { c.Workers = w })
		got := r.lead(t.Context(), t, swayBlock)
		if n := w.Busy(); n != 1 {
			t.Errorf("Busy() = %d, want 1", n)
		}
		if _, err := echo.Call(t.Context(), other.dialed, nil); kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) {
			t.Errorf("Call = %v, want a refusal", err)
		}
		close(r.release)
		if err := <-got; err != nil {
			t.Errorf("Call = %v", err)
		}
		r.warm(t) // is never refused
		if n := w.Busy(); n != 0 {
			t.Errorf("Busy() = %d, want 0", n)
		}
	})
}

// The same over every transport, where the roles are what they happen to be.
func TestLoneCallsOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		r := newLoneRig(t, tr, false, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, what := range []int{swayBlock, swayWait} {
			got := r.call(ctx, what)
			<-r.begun
			if err := r.dialed.Ping(t.Context()); err != nil {
				t.Errorf("Ping = %v", err)
			}
			r.warm(t)
			if what == swayWait {
				cancel()
			} else {
				close(r.release)
			}
			if err := <-got; (err != nil) != (what == swayWait) {
				t.Errorf("Call(%d) = %v", what, err)
			}
			r.warm(t)
		}
		for _, what := range []int{swayPanic, swayExit} {
			if err := <-r.call(t.Context(), what); kith.CodeOf(err) != kith.Internal {
				t.Errorf("Call(%d) = %v, want %v", what, err, kith.Internal)
			}
			r.warm(t)
		}
		for range 20 {
			if err := <-r.call(t.Context(), swayCall); err != nil {
				t.Fatalf("Call = %v", err)
			}
		}
		r.warm(t)
		if err := <-r.call(t.Context(), swayClose); err == nil {
			t.Error("Call of a handler that closes its session = nil")
		}
		<-r.workers.Quiet()
	})
}
