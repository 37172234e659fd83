package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/internal/wire"
)

// A session with very many calls rests while one with few calls and workers come
// late; and otherwise never.
func TestRest(t *testing.T) {
	for _, tc := range []struct {
		name    string
		running int64         // calls of the session itself
		others  int64         // calls of the other one
		called  time.Duration // since the other one called, negative: never
		late    time.Duration // since a worker came late, negative: never
		took    time.Duration // by a handler
		rest    time.Duration
	}{
		{"in the way", 1000, 10, 0, 0, restAfter, restShare * restAfter},
		{"a handler that waited for an hour", 1000, 10, 0, 0, time.Hour, maxRest},
		{"hardly begun", 1000, 10, 0, 0, restAfter / 2, 0},
		{"nobody else there", 1000, 0, -1, 0, restAfter, 0},
		{"the other one has as many", 1000, 1000, 0, 0, restAfter, 0},
		{"the other one called long ago", 1000, 10, sharedTime, 0, restAfter, 0},
		{"processors have time", 1000, 10, 0, -1, restAfter, 0},
		{"processors have time again", 1000, 10, 0, busyTime, restAfter, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, now := newWaiting(), time.Now()
				bad, good := &Session{base: now}, &Session{base: now}
				bad.in.running.Store(tc.running)
				good.in.running.Store(tc.others)
				if tc.called >= 0 {
					w.load.noteCall(&inCall{s: good, began: -tc.called})
				}
				if tc.late >= 0 {
					w.load.late = now.Add(-tc.late)
				}
				waiting(w, bad, 2)
				w.mu.Lock()
				w.queue.pop()
				w.chargeLocked(bad, now, tc.took)
				w.mu.Unlock()
				if rests := noTurn(w); rests != (tc.rest > 0) {
					t.Fatalf("the session rests: %t, want %t", rests, tc.rest > 0)
				}
				if tc.rest > 0 {
					time.Sleep(tc.rest - 1)
					synctest.Wait()
					if !noTurn(w) {
						t.Errorf("a call has its turn before %v are over", tc.rest)
					}
					time.Sleep(time.Nanosecond)
					synctest.Wait()
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if c := w.queue.pop(); c == nil || c.s != bad {
					t.Error("the call that waited has no turn after the rest")
				}
			})
		})
	}
}

// Sessions that are many rest the longer for it.
func TestManyRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 4
		w, now, good := newWaiting(), time.Now(), &Session{base: time.Now()}
		w.load.noteCall(&inCall{s: good})
		w.load.late = now
		var all [many]*Session
		for i := range all {
			all[i] = &Session{base: now}
			all[i].in.running.Store(1000)
			w.mu.Lock()
			w.chargeLocked(all[i], now, restAfter)
			w.mu.Unlock()
		}
		for i, s := range all {
			resting := func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return s.turn.resting
			}
			time.Sleep(restShare*restAfter - 1)
			synctest.Wait()
			if !resting() {
				t.Errorf("session %d rests less than %v", i, time.Since(now)+1)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if resting() {
				t.Errorf("session %d rests more than %v", i, time.Since(now))
			}
		}
		if w.load.rests != 0 {
			t.Errorf("%d sessions rest in the end, want 0", w.load.rests)
		}
	})
}

// noTurn reports whether no call has a turn.
func noTurn(w *Workers) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue.empty()
}

// While one session rests others have their turns, and it joins them again at the
// end, with the calls that came meanwhile in order.
func TestTurnsDuringRest(t *testing.T) {
	w, bad, good := newWaiting(), new(Session), new(Session)
	waiting(w, bad, 2)
	waiting(w, good, 1)
	bad.turn.resting = true
	waiting(w, bad, 1)
	if c := w.queue.pop(); c == nil || c.s != good {
		t.Fatal("the other session has no turn")
	}
	if c := w.queue.pop(); c != nil {
		t.Fatal("the resting session has a turn")
	}
	w.rested(bad)
	for i := range 3 {
		if c := w.queue.pop(); c == nil || c.s != bad {
			t.Fatalf("call %d of 3 has no turn after the rest", i)
		}
	}
	if !w.queue.empty() {
		t.Error("a call is left")
	}
}

// A session that has ended is not kept for its last call.
func TestEndedSessionIsForgotten(t *testing.T) {
	w, ended, other := newWaiting(), new(Session), new(Session)
	waiting(w, other, 1)
	waiting(w, ended, 1)
	w.queue.pop()
	w.queue.pop()
	w.forget(ended)
	if s := &w.load.small; s[0].by != nil || s[1].by != other {
		t.Errorf("kept are %p and %p, want only %p", s[0].by, s[1].by, other)
	}
}

// Of the time that workers take to come only that of crowded sessions counts.
func TestLateWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l load
		s := new(Session)
		for _, tc := range []struct {
			running int64
			took    time.Duration
			late    bool
		}{{1, time.Hour, false}, {1000, lateAfter, false}, {1000, lateAfter + 1, true}} {
			s.in.running.Store(tc.running)
			l.late = time.Time{}
			l.noteSent(s)
			time.Sleep(tc.took)
			l.noteArrival()
			if !l.late.IsZero() != tc.late {
				t.Errorf("%d calls and a worker after %v: late %t, want %t", tc.running, tc.took, !tc.late, tc.late)
			}
		}
	})
}

// Calls with large messages make a crowd sooner.
func TestBulkIsCrowd(t *testing.T) {
	var s Session
	large, small := &inCall{s: &s, lane: true, bulk: restAbove}, &inCall{s: &s, id: 1, lane: true}
	s.in.claim(large)
	if s.crowded() {
		t.Error("one call alone is a crowd")
	}
	s.in.claim(small)
	if !s.crowded() {
		t.Error("a call as large as many and another one are no crowd")
	}
	s.in.free(large)
	if s.crowded() || s.in.bulk.Load() != 0 {
		t.Errorf("when it has ended %d bulk is left, want 0", s.in.bulk.Load())
	}
}

// A reader rests for the large calls that it reads while as much is in flight, its session
// is in the way of one with few calls, and processors are busy; and otherwise never.
func TestReaderRestsForLargeCalls(t *testing.T) {
	large := bulkOf(16<<10) - 1
	spent := callCost + time.Duration(large)*bulkCost
	many := int(restAfter/spent) + 1 // after which it rests
	for _, tc := range []struct {
		name    string
		running int64 // other calls of the session
		bulk    int64 // of each that is read
		others  int64 // calls of the other session
		late    bool  // workers come late
		read    int
		rest    time.Duration
	}{
		{"in the way", 1, large, 10, true, many, restShare * time.Duration(many) * spent},
		{"not so many", 1, large, 10, true, many - 1, 0},
		{"one at a time", 0, large, 10, true, many, 0},
		{"one at a time, as large as can be", 0, bulkOf(2 * wire.MaxLane), 10, true, many, 0},
		{"small calls", 1000, 0, 10, true, 1000, 0},
		{"the other one has as many", 1, large, 1000, true, many, 0},
		{"processors have time", 1, large, 10, false, many, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, now := newWaiting(), time.Now()
				bad := &Session{base: now, cfg: &Config{Workers: w}, ended: make(chan struct{})}
				good := &Session{base: now}
				bad.in.running.Store(tc.running)
				good.in.running.Store(tc.others)
				w.load.noteCall(&inCall{s: good})
				if tc.late {
					w.load.late = now
				}
				for range tc.read {
					bad.chargeReading(tc.bulk)
				}
				if rest := time.Since(now); rest != tc.rest {
					t.Errorf("after %d calls the reader has rested for %v, want %v", tc.read, rest, tc.rest)
				}
			})
		})
	}
}

// Where several parts of a session rest it counts once, and rests as long as alone; at its
// end none does.
func TestSessionRestsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, now := newWaiting(), time.Now()
		s, other := &Session{base: now, ended: make(chan struct{})}, &Session{base: now, ended: make(chan struct{})}
		pause := func(s *Session, want time.Duration) {
			t.Helper()
			begin := time.Now()
			if w.pause(s, time.Millisecond); time.Since(begin) != want {
				t.Errorf("pause of 1 ms took %v, want %v", time.Since(begin), want)
			}
		}
		w.mu.Lock()
		w.restLocked(s, maxRest)
		w.mu.Unlock()
		pause(s, time.Millisecond)
		pause(other, 2*time.Millisecond)
		close(other.ended)
		pause(other, 0)
		time.Sleep(maxRest)
		synctest.Wait()
		if w.load.rests != 0 || s.turn.rests != 0 {
			t.Errorf("%d sessions rest in the end, of the first one %d parts, want none", w.load.rests, s.turn.rests)
		}
	})
}

// However long a handler ran, and however many rest, a rest is the longest at most.
func TestRestOfDays(t *testing.T) {
	l := load{rests: 1 << 20}
	if rest := l.begin(new(Session), 1000*24*time.Hour); rest != maxRest {
		t.Errorf("a session rests for %v, want %v", rest, maxRest)
	}
}

// What is beyond a call that is not large counts.
func TestBulkOf(t *testing.T) {
	for _, tc := range []struct {
		size int
		want int64
	}{{0, 0}, {freeBulk + bulkSize - 1, 0}, {freeBulk + bulkSize, 1}, {freeBulk + 100*bulkSize, 100}} {
		if n := bulkOf(tc.size); n != tc.want {
			t.Errorf("bulkOf(%d) = %d, want %d", tc.size, n, tc.want)
		}
	}
}
