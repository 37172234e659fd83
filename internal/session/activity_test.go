package session_test

import (
	"errors"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// A session is retired only while no call is open, and makes none from then on.
func TestRetireIdle(t *testing.T) {
	p := connect(t, overMemory(t), allKinds(nil), nil)
	if !p.dialed.Admitted() {
		t.Errorf("Admitted() = false")
	}
	c, err := chat.Call(t.Context(), p.dialed)
	if err != nil {
		t.Fatalf("chat.Call = %v", err)
	}
	if open, made := p.dialed.Activity(); open != 1 || made != 1 || p.dialed.RetireIdle() {
		t.Errorf("Activity() = %d, %d, and RetireIdle succeeds, want 1, 1 and not", open, made)
	}
	_ = c.Close()
	if open, made := p.dialed.Activity(); open != 0 || made != 1 || !p.dialed.RetireIdle() {
		t.Errorf("Activity() = %d, %d, and RetireIdle fails, want 0, 1 and not", open, made)
	}
	if _, err := greet.Call(t.Context(), p.dialed, "Ada"); !kith.Unprocessed(err) {
		t.Errorf("Call = %v, want it unprocessed", err)
	}
	if got, err := greet.Call(t.Context(), p.accepted, "Ada"); got != "hello Ada" || err != nil {
		t.Errorf("Call of the other side = %q, %v", got, err)
	}
}

// What is to run after the end runs, at both ends, whoever ended it, and also if it
// comes too late.
func TestAfterEnd(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		p := connect(t, tr, echoHandlers(), nil)
		ran := make(chan error, 3)
		after := func(s *session.Session) {
			s.AfterEnd(func() { ran <- s.Err() })
		}
		after(p.dialed)
		after(p.accepted)
		_ = p.dialed.Close(kith.Aborted, "enough")
		for range 2 {
			var ce *transport.ConnError
			if err := <-ran; !errors.As(err, &ce) || ce.Code != kith.Aborted {
				t.Errorf("Err() after the end = %v, want the code Aborted", err)
			}
		}
		after(p.accepted)
		<-ran
	})
}
