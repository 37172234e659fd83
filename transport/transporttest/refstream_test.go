package transporttest

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var (
	errHalfClosed = errors.New("write after CloseWrite")
	errStrange    = errors.New("strange error")
)

// A refStream is one end of a stream.
type refStream struct {
	c        *refConn
	opener   *refConn
	acceptor *refStream // the end to be accepted
	other    *refStream
	in, out  *refPipe
	seenOnce *sync.Once    // shared with other
	finished *atomic.Int32 // shared with other: the ends that are done

	mu          sync.Mutex
	done, wdone bool // guarded by mu
}

func newRefStream(opener *refConn) *refStream {
	out, in := newRefPipe(opener), newRefPipe(opener)
	near := &refStream{c: opener, opener: opener, out: out, in: in, seenOnce: new(sync.Once), finished: new(atomic.Int32)}
	far := &refStream{c: opener.peer, opener: opener, out: in, in: out, seenOnce: near.seenOnce, finished: near.finished}
	near.other, far.other = far, near
	near.acceptor, far.acceptor = far, far
	return near
}

func (s *refStream) is(f fault) bool { return s.c.is(f) }

// seen shows the stream to the other end, the first time.
func (s *refStream) seen(unless fault) {
	if !s.is(unless) {
		s.seenOnce.Do(func() { s.acceptor.c.incoming <- s.acceptor })
	}
}

func (s *refStream) Read(b []byte) (int, error) { return s.in.Read(b) }

func (s *refStream) Write(b []byte) (int, error) {
	s.seen(writeUnseen)
	if len(b) == 0 && s.is(emptyWriteEnds) {
		s.CloseWrite()
	}
	return s.out.Write(b)
}

func (s *refStream) WriteLast(b []byte) error {
	if _, err := s.Write(b); err != nil || s.is(writeLastStaysOpen) {
		return err
	}
	return s.CloseWrite()
}

func (s *refStream) CloseWrite() error {
	s.mu.Lock()
	first := !s.wdone && !s.done
	s.wdone = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	s.seen(halfCloseUnseen)
	if s.is(closeWriteWaits) {
		s.out.waitEmpty()
	}
	if s.is(halfCloseEndsBoth) || s.is(acceptorHalfCloseEndsAll) && s == s.acceptor {
		s.in.update(func() { s.in.rerr = transport.ErrClosed })
	}
	s.out.update(func() {
		s.out.eof = true
		if s.out.werr == nil && !s.is(writeAfterHalfClose) {
			s.out.werr = errHalfClosed
		}
	})
	return nil
}

func (s *refStream) Close() error {
	s.mu.Lock()
	first, half := !s.done, s.wdone
	s.done = true
	s.mu.Unlock()
	if !first {
		if s.is(closeAgainFails) {
			return transport.ErrClosed
		}
		return nil
	}
	s.seen(resetUnseen)
	local, remote := &transport.StreamError{Code: kith.Canceled}, &transport.StreamError{Code: kith.Canceled, Remote: true}
	if s.is(closeWaitsForReader) {
		s.out.waitEmpty()
	}
	if s.is(stopKillsAnswer) && !s.in.ended() {
		half = false
	}
	s.out.update(func() {
		p := s.out
		if !s.is(closeLeavesWrite) || p.werr == errHalfClosed {
			p.werr = local
		}
		switch {
		case !half && s.is(closeIsClean):
			p.eof = true
		case !half && p.rerr == nil:
			p.rerr = remote
			p.discard()
		case s.is(closeDropsData):
			p.discard()
		}
	})
	s.in.update(func() {
		p := s.in
		if !s.is(closeLeavesRead) {
			p.rerr = transport.ErrClosed
		}
		p.discard()
		if p.werr == nil && !s.is(closeLeavesWriter) {
			p.werr = remote
		}
	})
	s.finish(false)
	return nil
}

func (s *refStream) Reset(code kith.Code) {
	s.mu.Lock()
	first, half := !s.done, s.wdone
	s.done = true
	s.mu.Unlock()
	if !first && !s.is(resetAfterCloseResets) || half && s.is(resetIgnoresHalfClosed) {
		return
	}
	s.seen(resetUnseen)
	local := &transport.StreamError{Code: code}
	remote := &transport.StreamError{Code: code, Remote: !s.is(resetRemoteWrong)}
	if s.is(resetLosesCode) {
		remote.Code = kith.Canceled
	}
	crossed := s.is(crossedResetsHang) && s.in.failed()
	s.out.update(func() {
		if s.out.rerr == nil || !first {
			s.out.rerr = remote
		}
		s.out.werr = local
		s.out.discard()
		if crossed {
			s.out.rerr, s.out.werr = nil, nil
		}
	})
	s.in.update(func() {
		if s.in.werr == nil && !s.is(resetOnlyReads) {
			s.in.werr = remote
		}
		if !s.is(resetLeavesOwnRead) {
			s.in.rerr = local
			s.in.discard()
		}
		if crossed {
			s.in.rerr, s.in.werr = nil, nil
		}
	})
	s.finish(true)
}

// finish gives the stream's place back when both ends are done.
func (s *refStream) finish(reset bool) {
	if s.finished.Add(1) != 2 {
		return
	}
	l := s.c.link
	l.mu.Lock()
	delete(l.streams, s.acceptor.other)
	l.mu.Unlock()
	if s.opener.slots != nil && !(reset && s.is(resetKeepsSlot)) && !s.is(noStreamLimit) {
		<-s.opener.slots // there is one for each stream
	}
}

// fail ends the stream with its connection.
func (s *refStream) fail(err error) {
	s.in.update(func() {
		if s.in.rerr == nil {
			s.in.rerr = err
			if s.is(eofOnTruncation) || s.is(eofOnCut) && errors.Is(err, errLinkCut) {
				s.in.rerr = io.EOF
			}
		}
	})
	s.out.update(func() {
		if s.out.werr == nil || s.out.werr == errHalfClosed {
			s.out.werr = err
		}
	})
}

func (s *refStream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(&s.in.rdl, t, s.is(readDeadlineUnseen))
	if s.is(deadlineForBoth) {
		s.out.setDeadline(&s.out.wdl, t, false)
	}
	return nil
}

func (s *refStream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(&s.out.wdl, t, s.is(writeDeadlineUnseen))
	return nil
}
