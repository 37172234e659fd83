package quic

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// errHalfClosed is the end of a Write behind CloseWrite.
var errHalfClosed = fmt.Errorf("write after CloseWrite: %w", transport.ErrClosed)

// A stream is one end of a stream. See [transport.Stream]. It keeps what
// quic-go leaves to its caller: who may call when, and what comes first.
type stream struct {
	conn *conn
	qs   *quicgo.Stream

	mu       sync.Mutex
	writers  int       // guarded by mu; Writes in progress, one if the caller keeps the rules
	half     bool      // guarded by mu; by CloseWrite
	finished bool      // guarded by mu; by Close or Reset
	code     kith.Code // guarded by mu; given to Reset, or Canceled by Close
}

var _ transport.LastWriter = (*stream)(nil)

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.qs.Read(p)
	if err == nil {
		return n, nil
	}
	// quic-go can report io.EOF on a stream that is closed here and was reset
	// at the other side.
	if closed := s.closedHere(); closed != nil {
		return n, closed
	}
	return n, s.failure(err)
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	switch {
	case s.finished:
		s.mu.Unlock()
		return 0, s.closedHere()
	case s.half:
		s.mu.Unlock()
		return 0, errHalfClosed
	}
	s.writers++
	s.mu.Unlock()

	n, err := s.qs.Write(p)

	s.mu.Lock()
	s.writers--
	half := s.half && !s.finished // CloseWrite came meanwhile, and left the rest to us
	s.mu.Unlock()
	if half {
		if err == nil {
			_ = s.qs.Close()
		} else { // half a message must not look like a whole one
			s.qs.CancelWrite(quicgo.StreamErrorCode(kith.Canceled))
		}
	}
	if err == nil {
		return n, nil
	}
	if closed := s.closedHere(); closed != nil {
		return n, closed
	}
	return n, s.failure(err)
}

// WriteLast implements [transport.LastWriter]. Up to about 1,400 bytes at the
// end of p travel in one packet with the half-close, unless quic-go's sender
// is so quick to take them that it needs a second one.
func (s *stream) WriteLast(p []byte) error {
	if len(p) > 0 {
		if _, err := s.Write(p); err != nil {
			return err
		}
	}
	return s.CloseWrite()
}

func (s *stream) CloseWrite() error {
	s.mu.Lock()
	switch {
	case s.half:
		s.mu.Unlock()
		return nil
	case s.finished:
		s.mu.Unlock()
		return s.closedHere()
	}
	s.half = true
	busy := s.writers > 0
	s.mu.Unlock()
	if busy {
		return nil // Write does it: quic-go allows no Close beside a Write
	}
	_ = s.qs.Close() // the error is that the other side reads no more, which Write tells
	if s.conn.qc.Context().Err() != nil {
		return s.conn.ended()
	}
	return nil
}

func (s *stream) Close() error {
	s.finish(kith.Canceled, true)
	return nil
}

func (s *stream) Reset(code kith.Code) { s.finish(code, false) }

// finish ends both directions. What was written before CloseWrite is still
// delivered if keep is set.
func (s *stream) finish(code kith.Code, keep bool) {
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.finished, s.code = true, code
	whole := s.half && s.writers == 0
	s.mu.Unlock()
	if !keep || !whole {
		s.qs.CancelWrite(quicgo.StreamErrorCode(code))
	}
	s.qs.CancelRead(quicgo.StreamErrorCode(code))
	s.qs.ReleaseStreamCredit()
}

// closedHere returns the error of what is called after Close or Reset, nil
// before.
func (s *stream) closedHere() error {
	s.mu.Lock()
	finished, code := s.finished, s.code
	s.mu.Unlock()
	switch {
	case !finished:
		return nil
	case s.conn.qc.Context().Err() != nil:
		return s.conn.ended()
	}
	return &transport.StreamError{Code: code}
}

// failure turns an error of quic-go's stream into one of package transport.
func (s *stream) failure(err error) error {
	if err == io.EOF {
		return io.EOF
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	if reset, ok := errors.AsType[*quicgo.StreamError](err); ok {
		if reset.Remote {
			s.conn.resets.n.Add(1)
		}
		return &transport.StreamError{Code: codeOf(uint64(reset.ErrorCode)), Remote: reset.Remote}
	}
	// Anything else is the connection's end, which reaches the streams first.
	<-s.conn.qc.Context().Done()
	return s.conn.ended()
}

func (s *stream) SetReadDeadline(t time.Time) error { return s.qs.SetReadDeadline(deadline(t)) }

func (s *stream) SetWriteDeadline(t time.Time) error { return s.qs.SetWriteDeadline(deadline(t)) }

// farAway is how far a deadline may be for quic-go to reckon with it: it
// counts nanoseconds from the start of the process, also where the clock is
// that of package testing/synctest and stands decades before.
const farAway = 100 * 365 * 24 * time.Hour

func deadline(t time.Time) time.Time {
	if time.Until(t) > farAway {
		return time.Time{}
	}
	return t
}
