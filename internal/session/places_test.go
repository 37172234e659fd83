package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// A taker is a session that takes places and gives them back.
type taker struct {
	s   *Session
	w   *Workers
	own int64
}

// take takes places until there are n more, or it is refused, and returns how many it got.
func (k *taker) take(n int) (got int) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	for got < n && k.w.takeLocked(k.s, k.own) {
		got++
		k.own++
	}
	return got
}

func (k *taker) give(n int) {
	k.own -= int64(n)
	for range n {
		k.w.leave()
		k.w.release()
	}
}

// Of places that are short a session has what it used lately, up to as many as the one that
// takes all it gets; and what nobody used lately is for whoever wants it, but for the last eighth.
func TestPlaces(t *testing.T) {
	const limit, eighth = 128, 16
	newTaker := func(w *Workers) *taker { return &taker{s: new(Session), w: w} }
	run := func(name string, f func(t *testing.T, w *Workers)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, NewSharedWorkers(limit)) })
		})
	}
	want := func(t *testing.T, who string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s gets %d places, want %d", who, got, want)
		}
	}
	run("one alone", func(t *testing.T, w *Workers) {
		want(t, "one alone", newTaker(w).take(limit), limit-eighth)
		want(t, "another one", newTaker(w).take(limit), eighth)
	})
	run("one that came later", func(t *testing.T, w *Workers) {
		first, later := newTaker(w), newTaker(w)
		want(t, "the first", first.take(60), 60)
		first.give(50)
		want(t, "the later one", later.take(limit), limit-60-eighth)
		want(t, "the first again", first.take(limit), 50)
		later.give(later.take(1))
		first.give(int(first.own))
		time.Sleep(epochTime - 1)
		want(t, "the later one, soon after", later.take(limit), 0)
		time.Sleep(epochTime)
		later.take(1)
		time.Sleep(epochTime)
		want(t, "the later one, when the first has gone", later.take(limit), 60)
	})
	run("one that returns after a pause", func(t *testing.T, w *Workers) {
		first, second := newTaker(w), newTaker(w)
		first.take(40)
		second.take(40)
		first.give(40)
		time.Sleep(10 * epochTime)
		want(t, "the first", first.take(limit), limit-40-eighth)
	})
	run("one after another that was as greedy", func(t *testing.T, w *Workers) {
		bad := newTaker(w)
		bad.take(limit)
		bad.give(int(bad.own))
		want(t, "the next greedy one", newTaker(w).take(limit), limit/2-eighth)
		want(t, "another one", newTaker(w).take(limit), limit/2-eighth)
	})
	run("one that had half", func(t *testing.T, w *Workers) {
		good, bad := newTaker(w), newTaker(w)
		good.take(limit / 2)
		good.give(limit / 2)
		want(t, "the greedy one", bad.take(limit), limit/2-eighth)
		want(t, "the one that had half", good.take(limit), limit/2)
		want(t, "the greedy one, while it is full", bad.take(limit), 0)
		want(t, "a third one", newTaker(w).take(limit), eighth)
	})
	run("a small one beside a large one", func(t *testing.T, w *Workers) {
		large, small := newTaker(w), newTaker(w)
		large.take(100)
		large.give(20)
		want(t, "the small one", small.take(limit), limit-80-eighth)
	})
	run("one of many small ones", func(t *testing.T, w *Workers) {
		for range limit / 2 { // one after the other
			k := newTaker(w)
			k.take(2)
			k.give(2)
		}
		want(t, "a large one", newTaker(w).take(limit), limit-eighth)
	})
	run("more than there are", func(t *testing.T, w *Workers) {
		got := 0
		for range limit {
			got += newTaker(w).take(eighth)
		}
		want(t, "all together", got, limit)
	})
}
