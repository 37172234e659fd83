package session

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// A heldLink holds each write that must not wait until it is let go.
type heldLink struct {
	tried, leave chan struct{}
	wrote        chan []byte
}

func (l *heldLink) TryLane([]byte, bool) bool {
	l.tried <- struct{}{}
	<-l.leave
	return true
}

func (l *heldLink) WriteLane(p []byte) error {
	l.wrote <- bytes.Clone(p[mux.Headroom:])
	return nil
}

// An outcome that comes while somebody writes is sent after that, by whoever
// wrote.
func TestOutcomeDuringWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &heldLink{make(chan struct{}), make(chan struct{}), make(chan []byte, 1)}
		s := &Session{cfg: &Config{Workers: NewWorkers(-1)}, link: l, try: l}
		s.kick = s.flushLoop
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.sendOutcome(lateCall(s, 0, "first"))
		}()
		<-l.tried
		s.sendOutcome(lateCall(s, 1, "second"))
		l.leave <- struct{}{}
		<-done
		synctest.Wait()
		select {
		case p := <-l.wrote:
			if !bytes.Contains(p, []byte("second")) {
				t.Errorf("the lane got %q, want the second outcome", p)
			}
		default:
			t.Error("the second outcome was not sent")
		}
		if n := s.in.running.Load(); n != 0 {
			t.Errorf("%d calls are being served, want 0", n)
		}
	})
}

// A crowdLink is a heldLink that counts who writes at once.
type crowdLink struct {
	heldLink
	writers, most atomic.Int64
}

func (l *crowdLink) WriteLane(p []byte) error {
	defer l.writers.Add(-1)
	l.most.Store(max(l.most.Load(), l.writers.Add(1)))
	return l.heldLink.WriteLane(p)
}

// Who comes to send an outcome that somebody else has sent meanwhile leaves alone
// who sends by then: one goroutine writes to the lane at a time.
func TestOutcomeSentByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &crowdLink{heldLink: heldLink{wrote: make(chan []byte)}}
		s := &Session{cfg: &Config{Workers: NewWorkers(-1)}, link: l, try: l}
		s.kick = s.flushLoop
		appendPing := func() {
			s.mu.Lock()
			s.sendPingLocked(0)
			s.mu.Unlock()
			synctest.Wait()
		}
		// Whoever says that it has sent something is held there.
		s.after.sent = make(chan struct{})
		s.after.waits.Store(true)
		go func() { // the rest of sendOutcome, too late
			s.mu.Lock()
			s.sendLocked(true)
		}()
		synctest.Wait()
		appendPing() // flushLoop writes it
		if s.after.waits.Swap(false) {
			s.after.sent = nil // nobody was held
		} else {
			<-s.after.sent
		}
		synctest.Wait()
		appendPing() // goes after the other
		for range 2 {
			if p := <-l.wrote; len(p) != wire.LaneHeader+8 {
				t.Errorf("the lane got %d bytes at once, want those of a ping", len(p))
			}
		}
		s.loops.Wait()
		if n := l.most.Load(); n != 1 {
			t.Errorf("%d goroutines wrote at once, want 1", n)
		}
	})
}

// An outcome that comes after the end of the session gives back what the call held,
// though somebody is still in a write.
func TestOutcomeAfterEnd(t *testing.T) {
	w := NewWorkers(-1)
	s := &Session{cfg: &Config{Workers: w}}
	s.out.dead = &transport.ConnError{Code: kith.Unavailable}
	s.lane.flushing = true
	w.busy.Store(2)
	s.sendOutcome(lateCall(s, 0, "first"))
	s.sendOutcome(lateCall(s, 1, "second"))
	if n, busy := s.in.running.Load(), w.Busy(); n != 0 || busy != 0 {
		t.Errorf("%d calls are being served, %d have a place, want none", n, busy)
	}
}

// lateCall returns a call whose handler has returned.
func lateCall(s *Session, id uint64, resp string) *inCall {
	c := &inCall{s: s, id: id, lane: true, buf: &callBuffers{resp: []byte(resp), size: laneAnswerOverhead + len(resp)}}
	s.in.claim(c)
	return c
}

// Outcomes are sent in the order in which handlers returned.
func TestOutcomesInOrder(t *testing.T) {
	var o outcomes
	var got []uint64
	for id := range uint64(10) {
		if first := o.add(&inCall{id: id, buf: new(callBuffers)}); first != (id == 0 || id == 4 || id == 6) {
			t.Errorf("add(call %d) = %v, want whether it is the only one to come", id, first)
		}
		if id == 3 || id == 5 {
			for range id - 1 { // leaves one or two behind
				got = append(got, o.peekLocked().id)
				o.takeLocked()
			}
		}
	}
	for c := o.peekLocked(); c != nil; c = o.peekLocked() {
		got = append(got, c.id)
		o.takeLocked()
	}
	if want := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(got, want) {
		t.Errorf("taken %v, want %v", got, want)
	}
}
