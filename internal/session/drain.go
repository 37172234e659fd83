package session

import (
	"context"
	"fmt"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// Drain ends the session without losing a call. It tells the other side to
// make no more calls, serves those that were made, and closes when the other
// side says that it holds every outcome, and this side's own calls have ended.
// If ctx ends first, it returns ctx's error and leaves the session as it is:
// call Close.
func (s *Session) Drain(ctx context.Context) error {
	s.mu.Lock()
	if s.drain.fire() {
		s.appendEmptyLocked(wire.FrameDrain)
	}
	done := s.done.fired()
	s.mu.Unlock()
	s.readOn()
	select {
	case <-done:
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.ownCalls(ctx); err != nil {
		return err
	}
	return s.Close(kith.OK, "drained")
}

// ownCalls waits until the calls made by this side have ended.
func (s *Session) ownCalls(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.out.open == 0 && s.out.streams == 0 || s.out.dead != nil {
			s.mu.Unlock()
			return nil
		}
		if s.out.idle == nil {
			s.out.idle = make(chan struct{})
		}
		idle := s.out.idle
		s.mu.Unlock()
		select {
		case <-idle:
		case <-s.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Draining reports whether the other side takes no further call, or the
// session has ended.
func (s *Session) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.draining || s.out.dead != nil || s.out.refusal != nil
}

// AfterDrain runs f on a goroutine of its own when the other side says that it takes
// no further call; it may be called once. f need not run where the session ends first.
func (s *Session) AfterDrain(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.onDrain = f
	if s.out.draining {
		time.AfterFunc(0, f)
	}
}

// onDrain carries out the frames of draining.
func (s *Session) onDrain(t wire.FrameType, body []byte) error {
	switch t {
	case wire.FrameDrain:
		s.mu.Lock()
		if !s.out.draining {
			s.out.draining = true
			if f := s.out.onDrain; f != nil {
				time.AfterFunc(0, f)
			}
			// Behind all lane calls: none is appended from here on.
			s.appendNumberLocked(wire.FrameDrainAck, s.out.streamNo)
			s.maybeDoneLocked()
			s.wakeAllLocked()
		}
		s.mu.Unlock()
	case wire.FrameDrainAck:
		_, err := wire.ParseNumber(body)
		return err
	case wire.FrameDone:
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.done.fire() {
			return fmt.Errorf("done twice")
		}
	}
	return nil
}

// maybeDoneLocked is called whenever a call of this side's has ended.
func (s *Session) maybeDoneLocked() {
	if s.out.open > 0 || s.out.streams > 0 {
		return
	}
	if s.out.idle != nil {
		close(s.out.idle)
		s.out.idle = nil
	}
	if s.out.draining && !s.out.doneSent {
		s.out.doneSent = true
		s.appendEmptyLocked(wire.FrameDone)
	}
}

// A signal says once that something has happened. Its channel is made when somebody
// wants to wait for that, which few sessions see. It is guarded by Session.mu.
type signal struct {
	over bool
	ch   chan struct{} // closed when over; nil until it is asked for
}

// fire reports whether it is the first to say so.
func (g *signal) fire() bool {
	if g.over {
		return false
	}
	g.over = true
	if g.ch != nil {
		close(g.ch)
	}
	return true
}

// fired returns a channel that is closed when it has happened.
func (g *signal) fired() <-chan struct{} {
	if g.ch == nil {
		g.ch = make(chan struct{})
		if g.over {
			close(g.ch)
		}
	}
	return g.ch
}
