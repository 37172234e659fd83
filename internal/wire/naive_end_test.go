package wire_test

import (
	"encoding/binary"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport/admit"
)

func TestNaiveCancel(t *testing.T) {
	s := newNaiveServer(t, admit.Anyone())
	c := s.connect(t)
	id := c.call(naiveMethod(naiveUnary, "Hang", naiveJSON), `"lane"`)
	<-s.hanging
	c.cancel(id)
	c.cancel(id) // means nothing, whether the first was acted on or not
	wantError(t, "Hang that was canceled", c.outcome(id), 1, "", false)
	<-s.ended

	st, number := c.stream(naiveMethod(naiveServerStream, "Count", naiveJSON), true, "-1")
	<-s.hanging
	st.giveUp(1)
	c.sendLane(naiveCANCELSTREAM, binary.AppendUvarint(nil, number))
	st.wait(1)
	if len(st.in) > 0 || st.reset == nil || *st.reset != 1 {
		t.Errorf("Count that was canceled sends % x, reset %v, want a reset with 1", st.in, st.reset)
	}
	<-s.ended

	// The connection is none the worse, and the slot is free.
	wantAnswer(t, "Echo", c.outcome(c.call(naiveMethod(naiveUnary, "Echo", naiveRaw), "on")), "on")
	c.close(0)
}

func TestNaivePing(t *testing.T) {
	c := newNaiveServer(t, admit.Anyone()).connect(t)
	for _, p := range []string{"\x00\x01\x02\x03\x04\x05\x06\x07", "ping    "} {
		c.sendLane(naivePING, []byte(p))
		for c.pongs = nil; len(c.pongs) == 0; {
			c.turn()
		}
		if len(c.pongs) != 1 || c.pongs[0] != p {
			t.Errorf("PING of %q is answered by PONG of %q", p, c.pongs)
		}
	}
	c.sendLane(200, []byte("of a later version"))
	wantAnswer(t, "Echo", c.outcome(c.call(naiveMethod(naiveUnary, "Echo", naiveRaw), "on")), "on")
	c.close(0)
}

// A server that shuts down waits for the calls that a client made before it
// had read DRAIN, and for a client that follows the handshake.
func TestNaiveDrain(t *testing.T) {
	s := newNaiveServer(t, admit.Anyone())
	c := s.connect(t)
	hang := c.call(naiveMethod(naiveUnary, "Hang", naiveJSON), `"lane"`)
	count, _ := c.stream(naiveMethod(naiveServerStream, "Count", naiveJSON), true, "-1")
	<-s.hanging
	<-s.hanging

	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }() // ends with the handshake
	for len(c.lane) == 0 {                          // DRAIN is here, but this client is slow to look
		c.step()
	}
	crossing := c.call(naiveMethod(naiveUnary, "Echo", naiveRaw), "crossing DRAIN")
	for !c.drain {
		c.turn()
	}
	c.sendLane(naiveDRAINACK, binary.AppendUvarint(nil, c.numbered))
	wantAnswer(t, "Echo", c.outcome(crossing), "crossing DRAIN")

	close(s.release)
	wantAnswer(t, "Hang", c.outcome(hang), `"released"`)
	messages, o := count.rest()
	wantMessages(t, "Count", messages, "0")
	wantAnswer(t, "Count", o, "")
	c.sendLane(naiveDONE, nil)
	for c.end == nil {
		c.step()
	}
	if c.end.code != 0 || c.end.reason != "drained" {
		t.Errorf("the drainer closes with %d, %q, want 0, drained", c.end.code, c.end.reason)
	}
	_ = c.conn.Close()
	if err := <-down; err != nil {
		t.Errorf("Shutdown = %v, want nil", err)
	}
}

// Whoever is not admitted gets REFUSE, and its early call reaches no handler.
func TestNaiveRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		policy  admit.Policy
		version uint64
		code    uint64
		reason  string
	}{
		{"not admitted", admit.Pins(kith.NewKey().ID()), 1, 16, "no_identity"}, // plaintext proves none
		{"another version", admit.Anyone(), 2, 9, "version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newNaiveServer(t, tt.policy)
			c := s.dial(t, tt.version)
			c.call(naiveMethod(naiveNotify, "Log", naiveJSON), `"early"`)
			typ, b := c.firstFrame()
			if typ != naiveREFUSE {
				t.Fatalf("the acceptor's first frame = %d % x, want REFUSE", typ, b.b)
			}
			wantError(t, "the refusal", b.failure(), tt.code, tt.reason, true)
			b.done()
			c.close(0)
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown = %v, want nil", err)
			}
			select {
			case line := <-s.log:
				t.Errorf("Log was called with %q by who was refused", line)
			default:
			}
		})
	}
}

// A call may follow HELLO in the same flight.
func TestNaiveEarlyCall(t *testing.T) {
	c := newNaiveServer(t, admit.Anyone()).dial(t, 1)
	id := c.call(naiveMethod(naiveUnary, "Echo", naiveRaw), "early")
	c.welcome()
	wantAnswer(t, "Echo", c.outcome(id), "early")
	c.close(0)
}

// A dialler of another version of the mux is told so by a CLOSE.
func TestNaiveWrongPreface(t *testing.T) {
	m := naiveDial(t, newNaiveServer(t, admit.Anyone()).addr, "KITHMUX\x02")
	m.readPreface()
	for m.end == nil {
		m.step()
	}
	if m.end.code != 13 {
		t.Errorf("a dialler of another version gets CLOSE with %d, %q, want 13", m.end.code, m.end.reason)
	}
}
