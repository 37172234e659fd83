package mux

import (
	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// CloseWrite implements [transport.Stream].
func (s *Stream) CloseWrite() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.sendEnd == finished || s.sendEnd == abandoned && !s.closed {
		return nil // the second: there is nothing left to deliver
	}
	if err := s.writeErr(); err != nil && !s.writeBy.expired() {
		return err
	}
	s.sendEnd = finished
	s.mark(pendingEnd)
	s.wakeWriter()
	return nil
}

// Close implements [transport.Stream].
func (s *Stream) Close() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.closed {
		s.abandon(kith.Canceled, s.sendEnd == notEnded)
	}
	return nil
}

// Reset implements [transport.Stream].
func (s *Stream) Reset(code kith.Code) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.closed {
		s.abandon(code, s.sendEnd == notEnded || s.sendEnd == finished)
	}
}

// abandon ends the local use of the stream, with a reset of what it writes if
// asked for. mu held.
func (s *Stream) abandon(code kith.Code, reset bool) {
	s.closed = true
	s.closeCode = code
	s.readBy.stop()
	s.writeBy.stop()
	if reset {
		s.sendEnd = aborted
		s.sendCode = code
		s.pending &^= pendingEnd
		s.mark(pendingReset)
	}
	if s.recvEnd == notEnded {
		s.stopCode = code
		s.mark(pendingStop)
	}
	s.dropUnread()
	s.wakeReader()
	s.wakeWriter()
	s.settle()
}

// settle gives the stream's slot back once both ends are done with it: this
// one called Close or Reset, the other one ended its writing, and no frame is
// pending. mu held.
func (s *Stream) settle() {
	c := s.c
	if s.settled || !s.closed || s.recvEnd == notEnded || s.pending != 0 {
		return
	}
	s.settled = true
	delete(c.streams, s.id)
	if s.remote {
		if s.gone {
			c.freeReset()
		} else {
			c.peerDone++
		}
		c.kick()
		return
	}
	c.ownLive--
	if c.mayOpen() {
		c.hasRoom.leave()
	}
}

var _ transport.LastWriter = (*Stream)(nil)
