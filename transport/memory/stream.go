package memory

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// A stream is one end of a stream. See [transport.Stream].
type stream struct {
	conn     *conn
	duplex   *duplex
	accepted bool // opened by the other side
	in, out  *pipe
	done     atomic.Bool // by Close or Reset
}

var _ transport.LastWriter = (*stream)(nil)

// A duplex is a whole stream, as its connection keeps it: both ends, and a
// pipe each way. ends[i] belongs to the connection's end i and reads pipes[i].
type duplex struct {
	ends  [2]stream
	pipes [2]pipe

	prev, next *duplex // in circuit.open
	finished   int     // ends that are done
}

func newDuplex(c *circuit, opener int) *duplex {
	d := new(duplex)
	for i := range d.ends {
		end, peer := &c.ends[i], &c.ends[i^1]
		d.ends[i] = stream{conn: end, duplex: d, accepted: i != opener, in: &d.pipes[i], out: &d.pipes[i^1]}
		d.pipes[i].init(c, peer.out, &d.ends[i], end.window, i == opener)
	}
	return d
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.in.read(p)
	if err != nil && err != io.EOF {
		err = s.conn.endedOr(err)
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	n, err := s.out.write(p, false)
	if err != nil {
		err = s.conn.endedOr(err)
	}
	return n, err
}

// WriteLast implements [transport.LastWriter].
func (s *stream) WriteLast(p []byte) error {
	if len(p) == 0 {
		return s.CloseWrite()
	}
	_, err := s.out.write(p, true)
	if err != nil {
		err = s.conn.endedOr(err)
	}
	return err
}

func (s *stream) CloseWrite() error {
	err := s.out.closeWrite()
	if err != nil {
		err = s.conn.endedOr(err)
	}
	return err
}

func (s *stream) Close() error {
	s.finish(kith.Canceled, true)
	return nil
}

func (s *stream) Reset(code kith.Code) { s.finish(code, false) }

// finish ends this side. What was written whole is still delivered if
// keepWhole is set.
func (s *stream) finish(code kith.Code, keepWhole bool) {
	if !s.done.CompareAndSwap(false, true) {
		return
	}
	here := &transport.StreamError{Code: code}
	there := &transport.StreamError{Code: code, Remote: true}
	abort := s.out.stopWrite(here, keepWhole)
	stop := s.in.stopRead(here)
	peer := &s.duplex.ends[s.conn.side^1]
	// A connection that has ended has said so, or is about to: what becomes of
	// its streams must not get to the other end before that.
	if (abort || stop) && s.conn.ended.Load() == nil {
		s.conn.tell(func() { peer.aborted(there, abort, stop) })
	}
	s.conn.circ.finished(s.duplex)
	if s.accepted && s.out.takeSlotBack() {
		s.conn.circ.freeSlot(peer)
	}
}

// aborted is how this side learns that the other one has finished: abort says
// that what it sends is cut off, stop that it reads no more.
func (s *stream) aborted(err error, abort, stop bool) {
	announce := false
	if abort {
		announce = s.in.abortRead(err) && s.accepted
	}
	if stop {
		s.out.abortWrite(err)
	}
	if announce {
		s.conn.circ.announce(s)
	}
}

func (s *stream) SetReadDeadline(t time.Time) error {
	if err := s.in.setReadDeadline(t); err != nil {
		return s.conn.endedOr(err)
	}
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	if err := s.out.setWriteDeadline(t); err != nil {
		return s.conn.endedOr(err)
	}
	return nil
}
