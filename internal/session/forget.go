package session

import "github.com/kith-go/kith"

// forget lets go of a session that has ended, and of its calls that wait.
func (w *Workers) forget(s *Session) {
	w.dropWaiting(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.load.small {
		if w.load.small[i].by == s {
			w.load.small[i] = smallCall{}
		}
	}
}

// dropWaiting drops the calls of a session that ended before they had their turn:
// nobody would learn their outcome. A notification has none, and has its turn
// now.
func (w *Workers) dropWaiting(s *Session) {
	q := &s.turn
	w.mu.Lock()
	c, streams := q.first, q.streams
	q.first, q.last, q.streams = nil, nil, nil
	w.mu.Unlock()
	for _, st := range streams {
		st.Reset(kith.Unavailable)
	}
	var notices []*inCall
	dropped := 0
	for c != nil {
		next := c.buf.next
		c.buf.next = nil
		if c.method.Kind() == kith.KindNotify {
			notices = append(notices, c)
		} else {
			c.drop()
			dropped++
		}
		c = next
	}
	w.mu.Lock()
	w.releaseLocked(dropped)
	for _, c := range notices {
		w.queue.push(c)
	}
	w.mu.Unlock()
	w.rested(s)
}
