package memory

import (
	"context"
	"sync"
)

// A queue hands values from any number of goroutines to any number of others,
// waiting on channels only. Its owner says when it ends.
type queue[T any] struct {
	limit int           // of items; negative for none
	ready chan struct{} // holds a token whenever an item may wait for a taker
	space chan struct{} // holds a token whenever there may be room

	mu     sync.Mutex
	items  []T // the queue is items[head:]
	head   int
	closed bool
}

func (q *queue[T]) init(limit int) {
	q.limit = limit
	q.ready = make(chan struct{}, 1)
	q.space = make(chan struct{}, 1)
}

// put appends v and reports whether it could: not if q is full or closed.
func (q *queue[T]) put(v T) (ok, closed bool) {
	q.mu.Lock()
	closed = q.closed
	ok = !closed && q.room()
	if ok {
		if q.head > 0 && len(q.items) == cap(q.items) {
			n := copy(q.items, q.items[q.head:])
			clear(q.items[n:])
			q.items, q.head = q.items[:n], 0
		}
		q.items = append(q.items, v)
	}
	more := ok && q.room()
	q.mu.Unlock()
	if ok {
		notify(q.ready)
	}
	if more || closed {
		notify(q.space) // another that waits for room
	}
	return ok, closed
}

// get waits for an item. It returns false once ctx or ended has ended, even if
// items are left.
func (q *queue[T]) get(ctx context.Context, ended <-chan struct{}) (v T, ok bool) {
	for {
		select {
		case <-ended:
			return v, false
		case <-ctx.Done():
			notify(q.ready) // it may have been this call that took the token
			return v, false
		default:
		}
		if v, ok = q.take(); ok {
			return v, true
		}
		select {
		case <-q.ready:
		case <-ended:
		case <-ctx.Done():
		}
	}
}

func (q *queue[T]) take() (v T, ok bool) {
	q.mu.Lock()
	if q.head < len(q.items) {
		v, ok = q.items[q.head], true
		var zero T
		q.items[q.head] = zero
		q.head++
	}
	more := q.head < len(q.items)
	if !more {
		q.items, q.head = q.items[:0], 0
	}
	q.mu.Unlock()
	if more {
		notify(q.ready) // another that waits for an item
	}
	if ok && q.limit >= 0 {
		notify(q.space)
	}
	return v, ok
}

// room reports whether one more item fits. The caller holds mu.
func (q *queue[T]) room() bool { return q.limit < 0 || len(q.items)-q.head < q.limit }

// close refuses further items and returns those left.
func (q *queue[T]) close() []T {
	q.mu.Lock()
	left := q.items[q.head:]
	q.items, q.head, q.closed = nil, 0, true
	q.mu.Unlock()
	notify(q.space)
	return left
}

// notify leaves a token in c, which has room for one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
