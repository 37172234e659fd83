package mux

import (
	"bytes"
	"os"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

const (
	// maxEarly is how much of the lane may come before anybody takes it. It is
	// more than an end that was not answered yet has to say (hello and early
	// calls, 4 KiB each).
	maxEarly = 16 << 10

	// maxUnreadLane is how much of a lane that is a stream may be unread before
	// the link is not read on.
	maxUnreadLane = 64 << 10
)

// A laneStream is the lane for those who take it from AcceptStream, as they do
// not know of StartLane: a session on a connection that wraps this one. It costs
// what StartLane saves, a switch between two goroutines for what comes.
//
// It has no credit of its own. What bounds the lane is that its reader waits
// for nobody; readLoop waits for it.
type laneStream struct {
	c       *Conn
	changed sync.Cond // with c.mu, which guards everything below

	taken   bool         // by AcceptStream
	unread  bytes.Buffer // at most maxUnreadLane
	closed  bool
	code    kith.Code // with which it was closed
	readBy  deadline
	writeBy deadline
}

// keepLane keeps bytes of the lane for somebody who reads them as a stream. It
// returns false, with rd.lane set, if there is a handler for them. It runs in
// readLoop.
func (c *Conn) keepLane(p []byte) (kept bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lane != nil {
		c.rd.lane = c.lane
		return false, nil
	}
	s := c.laneStream
	if s == nil {
		if c.cfg.Dialed {
			return false, frameErrorf("data on the lane, which is not in use")
		}
		s = &laneStream{c: c}
		s.changed.L = &c.mu
		c.laneStream = s
		c.mayAccept.leave()
	}
	if !s.taken && s.unread.Len()+len(p) > maxEarly {
		return false, frameErrorf("more than %d bytes on the lane, which is not in use", maxEarly)
	}
	for len(p) > 0 && !s.closed && c.err == nil {
		k := min(len(p), maxUnreadLane-s.unread.Len())
		if k == 0 {
			s.changed.Wait()
			continue
		}
		s.unread.Write(p[:k])
		p = p[k:]
		s.changed.Broadcast()
	}
	return true, nil
}

// takeLaneStream returns the lane as a stream, once, if its first bytes have
// come; else nil. mu held.
func (c *Conn) takeLaneStream() transport.Stream {
	s := c.laneStream
	if s == nil || s.taken {
		return nil
	}
	s.taken = true
	if len(c.accepted) > 0 {
		c.mayAccept.leave() // for who else waits
	}
	return s
}

// Read implements [transport.Stream]. The lane has no end of its own, so there
// is no io.EOF.
func (s *laneStream) Read(p []byte) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, &transport.StreamError{Code: s.code}
		case s.readBy.expired():
			return 0, os.ErrDeadlineExceeded
		case c.err != nil && !c.err.Remote && c.err.Err == nil:
			return 0, c.err // closed here
		case len(p) == 0:
			return 0, nil
		case s.unread.Len() > 0:
			return s.take(p), nil
		case c.err != nil:
			return 0, c.err
		}
		s.changed.Wait()
	}
}

// take moves unread bytes to p. mu held.
func (s *laneStream) take(p []byte) int {
	n, _ := s.unread.Read(p)
	if s.unread.Len() == 0 && s.unread.Cap() > smallRead {
		s.unread = bytes.Buffer{} // an idle connection holds nothing large
	}
	s.changed.Broadcast()
	return n
}

// Write implements [transport.Stream]. A deadline, or Close, does not cut a part
// short that the link is taking; the end of the connection does.
func (s *laneStream) Write(p []byte) (n int, err error) {
	for {
		if err := s.writeErr(); err != nil || n == len(p) {
			return n, err
		}
		part := p[n:min(n+maxData-Headroom, len(p))]
		ch := newChunk(Headroom + len(part))
		ch.w = Headroom
		ch.append(part)
		err := s.c.WriteLane(ch.bytes())
		ch.free()
		if err != nil {
			return n, err
		}
		if n += len(part); n == len(p) {
			return n, nil
		}
	}
}

// writeErr returns why Write cannot go on, nil if it can.
func (s *laneStream) writeErr() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.closed:
		return &transport.StreamError{Code: s.code}
	case s.c.err != nil:
		return s.c.err
	case s.writeBy.expired():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// CloseWrite implements [transport.Stream], like Close.
func (s *laneStream) CloseWrite() error { return s.Close() }

// Close implements [transport.Stream]. The lane ends with the connection, and
// only so: the other side is not told, and what else it sends is dropped. Who
// closes the lane is about to close the connection.
func (s *laneStream) Close() error {
	s.Reset(kith.Canceled)
	return nil
}

// Reset implements [transport.Stream], like Close.
func (s *laneStream) Reset(code kith.Code) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.code = true, code
	s.unread = bytes.Buffer{}
	s.readBy.stop()
	s.writeBy.stop()
	s.changed.Broadcast()
}

// SetReadDeadline implements [transport.Stream].
func (s *laneStream) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.readBy, t) }

// SetWriteDeadline implements [transport.Stream].
func (s *laneStream) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.writeBy, t) }

func (s *laneStream) setDeadline(d *deadline, t time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return &transport.StreamError{Code: s.code}
	}
	d.set(t, nil, func(*Stream) { s.timeout() })
	s.changed.Broadcast()
	return nil
}

func (s *laneStream) timeout() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.changed.Broadcast()
}

var _ transport.Stream = (*laneStream)(nil)
