package mux

import (
	"fmt"
	"os"
	"time"

	"github.com/kith-go/kith/transport"
)

// Write implements [transport.Stream]. On a direct link the caller's goroutine
// writes p itself; what an early return leaves of the frame under way is copied
// first, and counted as written.
func (s *Stream) Write(p []byte) (int, error) {
	return s.write(p, false)
}

// WriteLast implements [transport.LastWriter].
func (s *Stream) WriteLast(p []byte) error {
	if len(p) > 0 {
		if _, err := s.write(p, true); err != nil {
			return err
		}
	}
	return s.CloseWrite()
}

func (s *Stream) write(p []byte, last bool) (n int, err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.writing { // not allowed, but nothing may break
		if err := s.writeErr(); err != nil {
			return 0, err
		}
		s.writable.Wait()
	}
	s.writing = true
	for n < len(p) && err == nil {
		var size int
		if size, err = s.reserve(len(p) - n); err != nil {
			break
		}
		part := p[n : n+size]
		if c.direct && (size > maxCombined || s.goesNow()) {
			err = s.writeDirect(part, last && n+size == len(p))
		} else {
			err = s.writeCopy(part, last && n+size == len(p))
		}
		if err == nil {
			n += size
		} else {
			s.refund(size)
		}
	}
	s.writing = false
	s.writable.Broadcast()
	if len(p) == 0 {
		err = s.writeErr()
	}
	return n, err
}

// writeErr returns why Write cannot go on, nil if it can. mu held.
func (s *Stream) writeErr() error {
	switch {
	case s.sendEnd == abandoned:
		return &transport.StreamError{Code: s.sendCode, Remote: true}
	case s.closed:
		return &transport.StreamError{Code: s.closeCode}
	case s.sendEnd == finished:
		return fmt.Errorf("write after CloseWrite: %w", transport.ErrClosed)
	case s.c.err != nil:
		return s.c.err
	case s.writeBy.expired():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// reserve waits for credit for one frame, and takes it. It returns how much of
// n bytes the frame may hold. mu held, but not while it waits.
func (s *Stream) reserve(n int) (int, error) {
	c := s.c
	for {
		if err := s.writeErr(); err != nil {
			s.leaveQueue(&c.needy)
			return 0, err
		}
		size := s.send.fit(n)
		switch {
		case size == 0:
			s.waited |= flagStream
			s.leaveQueue(&c.needy)
		case c.send.fit(size) == 0 || !c.needy.first(s):
			s.waited |= flagConn
			c.needy.join(s)
		default:
			size = min(size, c.send.fit(size), c.maxFrame())
			s.send.sent += frameCost(size)
			c.send.sent += frameCost(size)
			s.leaveQueue(&c.needy)
			return size, nil
		}
		s.writable.Wait()
	}
}

// refund gives back the credit of a frame that was not sent.
func (s *Stream) refund(size int) {
	c := s.c
	s.send.sent -= frameCost(size)
	c.send.sent -= frameCost(size)
	c.needy.wake()
}

// leaveQueue leaves q and wakes who is first then.
func (s *Stream) leaveQueue(q *writerQueue) {
	if s.links.in == q {
		q.leave(s)
		q.wake()
	}
}

// awaitTurn waits until ready says that s may go on, and all that came before
// it went. mu held, but not while it waits.
func (s *Stream) awaitTurn(ready func(*Conn) bool) error {
	q := &s.c.out.turns
	for {
		if err := s.writeErr(); err != nil {
			q.leave(s)
			s.c.passOn()
			return err
		}
		if q.first(s) && ready(s.c) {
			q.leave(s)
			return nil
		}
		q.join(s)
		s.writable.Wait()
	}
}

// dataHeader makes the header of a frame with n bytes. The caller has the
// writer role.
func (s *Stream) dataHeader(n int, last bool) header {
	flags := s.openFlag() | s.waited
	s.waited = 0
	if last {
		flags |= flagEnd
		s.sendEnd = finished
	}
	return header{kind: kindData, flags: flags, length: n, id: s.id}
}

// writeDirect writes a frame to the link, from p. If it returns an error,
// nothing was written. mu held, but not while it writes.
func (s *Stream) writeDirect(p []byte, last bool) error {
	c, w := s.c, &s.c.out
	if err := s.awaitTurn((*Conn).roleFree); err != nil {
		return err
	}
	w.busy = true
	ctl := c.takeControl()
	putHeader(w.head[:], s.dataHeader(len(p), last))
	var first []byte
	if ctl != nil {
		first = ctl.bytes()
	}
	w.current = s
	c.mu.Unlock()
	n, err := c.writeVec(first, w.head[:], p)
	c.mu.Lock()
	w.current = nil
	if w.interrupted {
		w.interrupted = false
		c.limitWrites(time.Time{})
		if os.IsTimeout(err) {
			c.keepRest(n, first, w.head[:], p)
			err = nil
		}
	}
	if ctl != nil {
		ctl.free()
	}
	c.release(err)
	if err != nil {
		return s.awaitEnd()
	}
	return nil
}

// maxCombined is up to which payload a frame is copied and written together
// with others, while somebody is writing, rather than its writer waiting for
// its turn: many that write little would wait for each other most of the time.
const maxCombined = 4 << 10

// goesNow reports whether s need not wait for anybody to write to the link.
func (s *Stream) goesNow() bool { return s.c.roleFree() && s.c.out.turns.first(s) }

// roleFree reports whether a stream may take the writer role.
func (c *Conn) roleFree() bool {
	w := &c.out
	return !w.busy && w.queue.head == nil && !w.laneWaits
}

// keepRest queues what is left after n bytes of the parts of an interrupted
// write, for flushLoop to write before anything else.
func (c *Conn) keepRest(n int, parts ...[]byte) {
	total := 0
	for _, p := range parts {
		total += len(p)
	}
	if n == total {
		return
	}
	rest := newChunk(total - n)
	for _, p := range parts {
		skip := min(n, len(p))
		rest.append(p[skip:])
		n -= skip
	}
	c.out.queue.push(rest)
	c.out.mid = true
}

// writeCopy queues a frame with a copy of p, for flushLoop to write. If it
// returns an error, nothing was queued. mu held, but not while it waits.
func (s *Stream) writeCopy(p []byte, last bool) error {
	c, w := s.c, &s.c.out
	if err := s.awaitTurn((*Conn).queueHasRoom); err != nil {
		return err
	}
	if !w.greeted {
		w.queue.push(c.takeControl()) // the preface comes first
	}
	ch := w.queue.tail
	if ch == nil || ch.room() < headerLen+len(p) {
		ch = newChunk(headerLen + len(p))
		w.queue.push(ch)
	}
	putHeader(ch.b[ch.w:], s.dataHeader(len(p), last))
	ch.w += headerLen
	ch.append(p)
	if c.queueHasRoom() {
		w.turns.wake()
	}
	c.kick()
	return nil
}

// queueHasRoom reports whether another chunk may be queued.
func (c *Conn) queueHasRoom() bool { return c.out.queue.len < maxQueued }

// awaitEnd waits for the end of the connection, after the link failed: it is
// near, and has the better error. mu held, but not while it waits.
func (s *Stream) awaitEnd() error {
	for {
		if err := s.writeErr(); err != nil {
			return err
		}
		s.writable.Wait()
	}
}
