package session

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// beginAll lets the calls that wait begin, and returns how many did before their session rested.
func beginAll(w *Workers) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := w.queue.pop(); c != nil; c = w.queue.pop() {
		w.beginLocked(c)
		n++
	}
	return n
}

// A session whose handlers at work become many begins them in steps while another one
// calls, and all at once otherwise. As many as it had at work it may begin without a rest.
func TestHandlersGrowInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = restAbove + 10*growthStep
		for _, shared := range []bool{false, true} {
			w, s, other := newWaiting(), &Session{base: time.Now()}, &Session{base: time.Now()}
			waiting(w, s, calls)
			if !shared {
				if n := beginAll(w); n != calls {
					t.Errorf("nobody else calls: %d handlers begin at once, want %d", n, calls)
				}
				continue
			}
			w.load.noteCall(&inCall{s: other})
			want := restAbove + 1 // whose begin makes it rest
			for left := calls; left > 0; left -= want {
				if left < calls {
					want = growthStep
				}
				want = min(want, left)
				if n := beginAll(w); n != want {
					t.Fatalf("with %d of %d calls waiting %d handlers begin at once, want %d", left, calls, n, want)
				}
				time.Sleep(growthRest)
				synctest.Wait()
			}
			w.mu.Lock()
			for range growthStep {
				w.returnedLocked(&inCall{s: s, begun: true})
			}
			w.mu.Unlock()
			waiting(w, s, growthStep)
			if n := beginAll(w); n != growthStep {
				t.Errorf("in the places of %d that returned %d handlers begin at once", growthStep, n)
			}
		}
	})
}

// In the places of handlers that were abandoned others begin in steps, as at first.
func TestAbandonedLeaveNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, other := newWaiting(), &Session{base: time.Now()}, &Session{base: time.Now()}
		s.turn.begun, s.turn.room = restAbove+1000, 1000
		w.calls = s.turn.begun
		w.mu.Lock()
		for range restAbove + 1000 {
			w.returnedLocked(&inCall{s: s, begun: true, abandoned: true})
		}
		w.mu.Unlock()
		w.load.noteCall(&inCall{s: other})
		waiting(w, s, 1000)
		if n := beginAll(w); n != restAbove+1 {
			t.Errorf("%d handlers begin at once, want %d", n, restAbove+1)
		}
		time.Sleep(growthRest) // its timer ends with the bubble otherwise
	})
}

// A mute is a stream on which nothing comes until it is reset.
type mute struct {
	transport.Stream
	once          sync.Once
	reads, resets *int // guarded by mu
	mu            *sync.Mutex
	over          chan struct{}
}

func (m *mute) Read([]byte) (int, error) {
	m.mu.Lock()
	*m.reads++
	m.mu.Unlock()
	<-m.over
	return 0, io.EOF
}

func (m *mute) Reset(kith.Code) {
	m.once.Do(func() {
		m.mu.Lock()
		*m.resets++
		m.mu.Unlock()
		close(m.over)
	})
}

func (m *mute) SetReadDeadline(time.Time) error { return nil }

// Streams begin in the steps of other calls, while another session calls, and all at once
// otherwise. Those that wait when the connection ends are reset, and have no handler.
func TestStreamsGrowInSteps(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const streams = restAbove + 10*growthStep
			w, other := newWaiting(), &Session{base: time.Now()}
			s := &Session{base: time.Now(), cfg: &Config{Workers: w}, ready: make(chan struct{})}
			close(s.ready)
			s.admitted.Store(true)
			if shared {
				w.load.noteCall(&inCall{s: other})
			}
			var mu sync.Mutex
			var reads, resets int
			var all []*mute
			for range streams {
				m := &mute{reads: &reads, resets: &resets, mu: &mu, over: make(chan struct{})}
				all = append(all, m)
				s.onStream(m)
			}
			begun := func() int {
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				return reads
			}
			want := streams
			if shared {
				want = restAbove + 1 // whose begin makes it rest
			}
			for step := range 4 {
				if n := begun(); n != want {
					t.Errorf("shared %t: after %d rests %d handlers have begun, want %d", shared, step, n, want)
				}
				time.Sleep(growthRest)
				want = min(want+growthStep, streams)
			}
			want = begun()
			s.in.cancelAll()
			w.forget(s)
			synctest.Wait()
			if resets != streams-want || reads != want {
				t.Errorf("shared %t: %d streams are reset and %d handlers begun, want %d and %d", shared, resets, reads, streams-want, want)
			}
			for _, m := range all {
				m.Reset(kith.Canceled)
			}
			synctest.Wait()
			if n := s.turn.begun; n != 0 {
				t.Errorf("shared %t: %d handlers count as at work in the end", shared, n)
			}
		})
	}
}

// A call of the lane begins beside very many streams that wait, and all of these begin.
func TestCallBesideWaitingStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const steps = 10
		w, other := newWaiting(), &Session{base: time.Now()}
		s := &Session{base: time.Now(), cfg: &Config{Workers: w}, ready: make(chan struct{})}
		close(s.ready)
		s.admitted.Store(true)
		w.load.noteCall(&inCall{s: other})
		var mu sync.Mutex
		var reads, resets int
		var all []*mute
		come := func(n int) {
			for range n {
				m := &mute{reads: &reads, resets: &resets, mu: &mu, over: make(chan struct{})}
				all = append(all, m)
				s.onStream(m)
			}
		}
		rest := func() {
			time.Sleep(growthRest)
			synctest.Wait()
		}
		come(restAbove + 1 + steps*growthStep)
		for range steps { // streams come as fast as they begin
			waiting(w, s, 1)
			begun := 0
			for range 2 {
				rest()
				begun += beginAll(w)
				come(growthStep)
			}
			if begun != 1 {
				t.Errorf("%d calls of the lane begin in two rests, want 1", begun)
			}
		}
		for range 5 * steps {
			rest()
		}
		if reads != len(all) {
			t.Errorf("of %d streams %d have begun", len(all), reads)
		}
		for _, m := range all {
			m.Reset(kith.Canceled)
		}
		synctest.Wait()
	})
}

// Half of those who were hung up on are forgotten each second, however often it is looked.
func TestHangingUpIsForgotten(t *testing.T) {
	now := time.Now()
	l := load{hung: 1 << 10, halved: now}
	for range 4 {
		now = now.Add(hungTime * 7 / 4)
		l.hungUp(now)
	}
	if l.hung != 1<<3 {
		t.Errorf("after seven seconds %d of %d are left, want %d", l.hung, 1<<10, 1<<3)
	}
}

// Who hung up on very many handlers makes those of others, as many, begin in slower steps,
// for a while. What a session with fewer leaves behind does not.
func TestHangingUpSlowsTheSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting()
		hangUp := func(handlers int) {
			s := &Session{base: time.Now()}
			s.turn.begun, w.calls = handlers, handlers
			s.in.ended.Store(true)
			w.mu.Lock()
			defer w.mu.Unlock()
			for range handlers {
				w.returnedLocked(&inCall{s: s, begun: true, abandoned: true})
			}
		}
		rests := func() time.Duration {
			s := &Session{base: time.Now()}
			w.load.noteCall(&inCall{s: &Session{base: time.Now()}}) // another one, with few
			waiting(w, s, restAbove+1)
			beginAll(w)
			began := time.Now()
			for {
				w.mu.Lock()
				resting := s.turn.resting
				w.mu.Unlock()
				if !resting {
					return time.Since(began)
				}
				time.Sleep(growthRest / 2)
				synctest.Wait()
			}
		}
		for range 100 {
			hangUp(restAbove)
		}
		if d := rests(); d != growthRest {
			t.Errorf("after many with few handlers hung up a session rests for %v, want %v", d, growthRest)
		}
		hangUp(restAbove + 4*hungStep)
		for _, steps := range []time.Duration{5, 3, 2, 1} {
			if d := rests(); d != steps*growthRest {
				t.Errorf("a session rests for %v, want %v", d, steps*growthRest)
			}
			time.Sleep(hungTime)
		}
		hangUp(1 << 16)
		if d := rests(); d != maxRest {
			t.Errorf("after very many were hung up on a session rests for %v, want %v", d, maxRest)
		}
	})
}

// A call whose connection ends before it has its turn costs no handler, and no place; a
// notification has its turn, and the rest is over.
func TestEndedSessionDropsWaiting(t *testing.T) {
	ask := kith.Unary[[]byte, []byte]("test/Ask")
	tell := kith.Notify[[]byte]("test/Tell")
	w, other := newWaiting(), new(Session)
	s := &Session{cfg: &Config{Workers: w}}
	for id, m := range []*kith.Method{&ask.Method, &tell.Method, &ask.Method, &ask.Method, &tell.Method} {
		c := &inCall{s: s, id: uint64(id), method: m, lane: true, buf: new(callBuffers)}
		s.in.claim(c)
		w.start(c)
	}
	waiting(w, other, 1)
	s.turn.resting = true
	s.in.cancelAll()
	w.forget(s)
	if n := w.Busy(); n != 3 {
		t.Errorf("%d places are taken, want 3", n)
	}
	if n := s.in.running.Load(); n != 2 {
		t.Errorf("%d calls of the session that ended are left, want 2", n)
	}
	for i, want := range []*Session{s, other, s} {
		c := w.queue.pop()
		if i < 2 && c != nil && c.s == other {
			want = other // who is first does not matter
		}
		if c == nil || c.s != want || want == s && c.method != &tell.Method {
			t.Fatalf("turn %d is of the wrong call", i)
		}
	}
	if !w.queue.empty() {
		t.Error("a call is left")
	}
}
