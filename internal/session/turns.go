package session

import (
	"time"

	"github.com/kith-go/kith/transport"
)

// A turn is a session's place among turns, and its calls that wait for a worker,
// first come first served. It is guarded by Workers.mu.
type turn struct {
	first, last *inCall
	next        *Session
	in          bool               // the session is among turns
	resting     bool               // none of its calls has a turn
	rests       uint8              // the turns and the reader: how many of them rest
	spent       time.Duration      // by its handlers since its last rest, while others had calls
	begun, room int                // handlers at work, and how many more than restAbove may be
	streams     []transport.Stream // that came while it rests
	timer       *time.Timer        // ends the rest
	others      peak               // of the places that other sessions had
}

// turns is the calls that wait for a worker. Sessions take turns, one call
// each, so that one that has thousands waiting delays its own and hardly those
// of others. The calls are linked through their buffers: a queue takes no memory.
type turns struct{ head, tail *Session }

// empty reports whether no call waits that may have a turn.
func (t *turns) empty() bool {
	t.skip()
	return t.head == nil
}

// push puts c behind the other calls of its session.
func (t *turns) push(c *inCall) {
	s := c.s
	if s.turn.last != nil {
		s.turn.last.buf.next = c
		s.turn.last = c
		return
	}
	s.turn.first, s.turn.last = c, c
	t.join(s)
}

// join puts s behind the other sessions, if it has a call to take its turn with.
func (t *turns) join(s *Session) {
	if s.turn.in || s.turn.resting || s.turn.first == nil {
		return
	}
	s.turn.in = true
	if t.tail == nil {
		t.head = s
	} else {
		t.tail.turn.next = s
	}
	t.tail = s
}

// leave takes the session at the head out.
func (t *turns) leave() {
	s := t.head
	if t.head = s.turn.next; t.head == nil {
		t.tail = nil
	}
	s.turn.next, s.turn.in = nil, false
}

// skip takes out those that began to rest since they joined, or whose calls were
// taken away.
func (t *turns) skip() {
	for t.head != nil && (t.head.turn.resting || t.head.turn.first == nil) {
		t.leave()
	}
}

// pop takes the next call, nil if there is none, and ends its session's turn.
func (t *turns) pop() *inCall {
	t.skip()
	s := t.head
	if s == nil {
		return nil
	}
	q := &s.turn
	c := q.first
	if q.first, c.buf.next = c.buf.next, nil; q.first == nil {
		q.last = nil
	}
	t.leave()
	t.join(s)
	return c
}
