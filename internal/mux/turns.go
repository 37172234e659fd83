package mux

// A writerQueue is a list of streams whose Write waits, first come first
// served. A stream is in one at most. Guarded by the connection's mutex.
type writerQueue struct{ head, tail *Stream }

type writerLinks struct {
	in         *writerQueue
	prev, next *Stream
}

// join puts s at the end, unless it is in the queue.
func (q *writerQueue) join(s *Stream) {
	if s.links.in == q {
		return
	}
	s.links = writerLinks{in: q, prev: q.tail}
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.links.next = s
	}
	q.tail = s
}

// leave takes s out, if it is in.
func (q *writerQueue) leave(s *Stream) {
	l := s.links
	if l.in != q {
		return
	}
	if l.prev == nil {
		q.head = l.next
	} else {
		l.prev.links.next = l.next
	}
	if l.next == nil {
		q.tail = l.prev
	} else {
		l.next.links.prev = l.prev
	}
	s.links = writerLinks{}
}

// first reports whether s may go before all others: the queue is empty, or it
// begins with s.
func (q *writerQueue) first(s *Stream) bool { return q.head == nil || q.head == s }

func (q *writerQueue) wake() {
	if q.head != nil {
		q.head.writable.Broadcast()
	}
}
