package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
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
