package session

import "testing"

// waiting makes n calls of a session that wait for a worker who never comes.
func waiting(w *Workers, s *Session, n int) {
	for range n {
		w.start(&inCall{s: s, buf: new(callBuffers)})
	}
}

func newWaiting() *Workers {
	w := NewWorkers(-1)
	w.coming = true
	return w
}

// With 8,192 calls of one session waiting, a call of another one comes next,
// and then they take turns, for as long as both have any.
func TestCallGoesBeforeFlood(t *testing.T) {
	const flood, others = 8192, 64
	w, bad, good := newWaiting(), new(Session), new(Session)
	waiting(w, bad, flood)
	w.queue.pop()
	waiting(w, good, others)
	for i := range 2 * others {
		want := bad
		if i%2 == 1 {
			want = good
		}
		if c := w.queue.pop(); c.s != want {
			t.Fatalf("call %d, with %d calls of one session waiting, is of the wrong session", i, flood)
		}
	}
	for i := range flood - others - 1 {
		if c := w.queue.pop(); c == nil || c.s != bad {
			t.Fatalf("pop() = %v with %d calls of one session left", c, flood-others-1-i)
		}
	}
	if c := w.queue.pop(); c != nil || !w.queue.empty() {
		t.Errorf("pop() = %v behind the last call, want none", c)
	}
	if bad.turn.first != nil || bad.turn.last != nil || bad.turn.next != nil {
		t.Errorf("a session without calls that wait holds %+v", bad.turn)
	}
}

// Calls of one session keep their order.
func TestTurnsKeepOrder(t *testing.T) {
	w, a, b := newWaiting(), new(Session), new(Session)
	for i := range uint64(10) {
		w.start(&inCall{s: a, id: i, buf: new(callBuffers)})
		w.start(&inCall{s: b, id: i, buf: new(callBuffers)})
	}
	next := map[*Session]uint64{}
	for c := w.queue.pop(); c != nil; c = w.queue.pop() {
		if c.id != next[c.s] {
			t.Errorf("call %d comes when %d is due", c.id, next[c.s])
		}
		next[c.s]++
	}
	if next[a] != 10 || next[b] != 10 {
		t.Errorf("%d and %d calls came, want 10 of each", next[a], next[b])
	}
}
