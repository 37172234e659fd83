package mux

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// A Stream is one stream of a [Conn]. It implements [transport.Stream] and
// [transport.LastWriter].
type Stream struct {
	c      *Conn
	remote bool   // opened by the other side
	id     uint64 // 0 until its first frame is made

	// view is what Read returns without looking at anything else: the rest of
	// what it saw in lent, the first chunk of queue. viewMu guards it; who
	// needs c.mu too takes that second.
	viewMu sync.Mutex
	view   []byte
	viewed int         // bytes taken from lent that it does not know of
	look   atomic.Bool // Read must not be content with view; set under c.mu

	// Everything below is guarded by c.mu.
	readable sync.Cond // signalled when Read should look again
	writable sync.Cond // signalled when Write should look again

	win      recvWindow
	queue    chunkQueue // unread data
	unread   uint64     // cost of what is in queue and not credited back
	filling  *chunk     // the chunk in queue that readLoop writes to without the mutex
	lent     *chunk     // of queue, the one in view; changed with viewMu held, too
	recvEnd  end        // how the other side ended its writing
	recvCode kith.Code  // of its reset
	readBy   deadline

	send     sendWindow
	sendEnd  end       // how this side ended its writing
	sendCode kith.Code // of the reset
	waited   uint8     // flags for the next frame
	writing  bool      // a Write is under way
	writeBy  deadline
	links    writerLinks

	stillborn bool // opened by the frame that resets it; set before anybody sees it
	gone      bool // opened and reset by the other side, before it was closed here
	closed    bool // by Close or Reset
	closeCode kith.Code
	stopCode  kith.Code
	pending   pending // frames to send
	dirty     bool    // in the connection's list of streams with pending frames
	nextDirty *Stream
	settled   bool
}

// An end says how one direction of a stream ended.
type end uint8

const (
	notEnded  end = iota
	finished      // by a half-close
	aborted       // by a reset of the side that writes
	abandoned     // because the side that reads stopped reading
)

// pending is a set of frames that wait to be written.
type pending uint8

const (
	pendingEnd pending = 1 << iota
	pendingReset
	pendingStop
	pendingWindow
)

func newStream(c *Conn, remote bool) *Stream {
	s := &Stream{
		c:      c,
		remote: remote,
		win:    newRecvWindow(streamWindow, maxStreamWindow),
		send:   sendWindow{limit: streamWindow},
	}
	s.readable.L = &c.mu
	s.writable.L = &c.mu
	return s
}

// Stillborn reports whether the other side opened the stream by the frame that
// resets it: there is nothing to read, and nothing to wait for.
func (s *Stream) Stillborn() bool { return s.stillborn }

// Read implements [transport.Stream].
func (s *Stream) Read(p []byte) (int, error) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	if len(p) > 0 && len(p) < len(s.view) && !s.look.Load() {
		n := copy(p, s.view)
		s.view = s.view[n:]
		s.viewed += n
		return n, nil
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		s.endView()
		if err := s.readErr(); err != nil {
			return 0, err
		}
		s.look.Store(false)
		if len(p) == 0 {
			return 0, nil
		}
		if s.hasData() {
			return s.take(p), nil
		}
		s.viewMu.Unlock()
		s.readable.Wait()
		c.mu.Unlock()
		s.viewMu.Lock() // before mu, always
		c.mu.Lock()
	}
}

// readErr returns why Read cannot go on, nil if there is data or may be.
func (s *Stream) readErr() error {
	c := s.c
	switch {
	case s.closed:
		return &transport.StreamError{Code: s.closeCode}
	case s.recvEnd == aborted:
		return &transport.StreamError{Code: s.recvCode, Remote: true}
	case s.readBy.expired():
		return os.ErrDeadlineExceeded
	case c.err != nil && !c.err.Remote && c.err.Err == nil:
		return c.err // closed here
	case s.hasData():
		return nil
	case s.recvEnd == finished:
		return io.EOF
	case c.err != nil:
		return c.err
	}
	return nil
}

func (s *Stream) hasData() bool { return s.queue.head != nil && s.queue.head.r < s.queue.head.w }

// smallCopy is how much is copied with mu held, rather than taking it twice.
const smallCopy = 2 << 10

// take moves unread data to p, and leaves what the last chunk has beyond it to
// view. viewMu and mu are held, but not mu while it copies much.
func (s *Stream) take(p []byte) (n int) {
	c := s.c
	if !c.live {
		c.live = true
		c.relieve()
	}
	for n < len(p) && s.hasData() {
		ch := s.queue.head
		s.view, s.lent = ch.bytes(), ch
		if min(len(s.view), len(p)-n) > smallCopy {
			c.mu.Unlock()
			s.viewed = copy(p[n:], s.view)
			c.mu.Lock()
		} else {
			s.viewed = copy(p[n:], s.view)
		}
		n += s.viewed
		if s.viewed < len(s.view) {
			s.view = s.view[s.viewed:]
			break
		}
		s.endView()
	}
	return n
}

// endView accounts for what was read by way of view. viewMu and mu are held.
func (s *Stream) endView() {
	ch, n := s.lent, s.viewed
	s.view, s.viewed, s.lent = nil, 0, nil
	if ch != nil && ch == s.queue.head {
		s.advance(ch, n)
	} // else it was dropped, and credited, meanwhile
}

// advance takes n bytes off ch, the head of the queue.
func (s *Stream) advance(ch *chunk, n int) {
	ch.r += n
	cost := uint64(n)
	if ch.r == ch.w && ch != s.filling {
		cost += ch.overhead
		s.queue.pop().free()
	}
	s.credit(cost)
}

// credit gives cost back to the other side.
func (s *Stream) credit(cost uint64) {
	s.unread -= cost
	s.win.used += cost
	if s.recvEnd == notEnded && !s.closed && s.win.due() {
		s.mark(pendingWindow)
	}
	s.c.creditConn(cost)
}

// dropUnread discards what was not read. Chunks that others still look at are
// left to the garbage collector.
func (s *Stream) dropUnread() {
	for ch := s.queue.pop(); ch != nil; ch = s.queue.pop() {
		if ch != s.filling && ch != s.lent {
			ch.free()
		}
	}
	cost := s.unread
	s.unread = 0
	s.win.used += cost
	s.c.creditConn(cost)
}

// wakeReader makes Read look at everything, a blocked one too.
func (s *Stream) wakeReader() {
	s.look.Store(true)
	s.readable.Broadcast()
}

// SetReadDeadline implements [transport.Stream].
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return &transport.StreamError{Code: s.closeCode}
	}
	s.readBy.set(t, s, (*Stream).readTimeout)
	s.wakeReader()
	return nil
}

// SetWriteDeadline implements [transport.Stream].
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return &transport.StreamError{Code: s.closeCode}
	}
	s.writeBy.set(t, s, (*Stream).writeTimeout)
	s.wakeWriter()
	return nil
}

func (s *Stream) readTimeout() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.wakeReader()
}

func (s *Stream) writeTimeout() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.wakeWriter()
}

// wakeWriter makes a blocked Write look whether it still may go on.
func (s *Stream) wakeWriter() {
	s.writable.Broadcast()
	if s.writing && s.writeErr() != nil {
		s.c.interrupt(s)
	}
}
