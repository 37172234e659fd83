package session

// A turn is a session's place among turns, and its calls that wait for a worker,
// first come first served. It is guarded by Workers.mu.
type turn struct {
	first, last *inCall
	next        *Session
}

// turns is the calls that wait for a worker. Sessions take turns, one call
// each, so that one that has thousands waiting delays its own and hardly those
// of others. The calls are linked through their buffers: a queue takes no memory.
type turns struct{ head, tail *Session }

// empty reports whether no call waits.
func (t *turns) empty() bool { return t.head == nil }

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

// join puts s behind the other sessions.
func (t *turns) join(s *Session) {
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
	s.turn.next = nil
}

// pop takes the next call, nil if there is none, and ends its session's turn.
func (t *turns) pop() *inCall {
	s := t.head
	if s == nil {
		return nil
	}
	q := &s.turn
	c := q.first
	q.first, c.buf.next = c.buf.next, nil
	switch {
	case q.first == nil:
		q.last = nil
		t.leave()
	case s != t.tail: // else there is nobody to take turns with
		t.leave()
		t.join(s)
	}
	return c
}
