package session_test

import (
	"testing"

	"github.com/kith-go/kith"
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
