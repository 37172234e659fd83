package session_test

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// rawPeer is the other end of a session, writing what it likes.
type rawPeer struct {
	t    *testing.T
	conn transport.Conn
	lane transport.Stream
	buf  []byte
}

// rawPair connects a session, at its dialling or accepting end, with a peer
// that has said hello and nothing else.
func rawPair(t *testing.T, dialed bool, h *kith.Handlers, change ...func(*session.Config)) (*session.Session, *rawPeer) {
	t.Helper()
	return rawPairOver(t, memory.New(memory.Config{}), dialed, h, change...)
}

// rawPairOver is rawPair over tr, which it closes in the end.
func rawPairOver(t *testing.T, tr transport.Transport, dialed bool, h *kith.Handlers, change ...func(*session.Config)) (*session.Session, *rawPeer) {
	t.Helper()
	dial, accept := conns(t, tr)
	w := session.NewWorkers(-1)
	cfg := session.Config{Handlers: h, Workers: w, MaxLaneCalls: 4}.Defaults()
	for _, f := range change {
		f(&cfg)
	}
	p := &rawPeer{t: t, conn: dial}
	ch := make(chan *session.Session, 1)
	var err error
	if dialed {
		p.conn = accept
		go func() {
			s, err := session.Dial(t.Context(), dial, &cfg)
			if err != nil {
				t.Errorf("Dial = %v", err)
			}
			ch <- s
		}()
		p.lane, err = p.conn.AcceptStream(t.Context())
	} else {
		cfg.Admit = admit.Anyone()
		go func() {
			s, err := session.Accept(t.Context(), accept, &cfg)
			if err != nil {
				t.Errorf("Accept = %v", err)
			}
			ch <- s
		}()
		p.lane, err = p.conn.OpenStream(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	hello := wire.Hello{Version: wire.Version, LaneCalls: 16, MaxMessage: 1 << 20}
	typ := wire.FrameHello
	if dialed {
		typ = wire.FrameWelcome
	}
	p.write(wire.EndLane(hello.Append(wire.AppendLane(nil, typ)), 0))
	p.next() // the session's own
	s := <-ch
	t.Cleanup(func() {
		_ = s.Close(kith.OK, "")
		_ = p.conn.CloseWithError(kith.OK, "")
		_ = tr.Close()
		<-w.Quiet()
		w.Close()
	})
	return s, p
}

func (p *rawPeer) write(frame []byte) {
	p.t.Helper()
	if _, err := p.lane.Write(frame); err != nil {
		p.t.Fatalf("Write = %v", err)
	}
}

// next reads the lane's next frame.
func (p *rawPeer) next() (wire.FrameType, []byte) {
	p.t.Helper()
	for {
		t, body, n, _, err := wire.NextLane(p.buf)
		if err != nil {
			p.t.Fatalf("NextLane = %v", err)
		}
		if n > 0 {
			body = append([]byte(nil), body...)
			p.buf = p.buf[n:]
			return t, body
		}
		piece := make([]byte, 4096)
		k, err := p.lane.Read(piece)
		if err != nil {
			p.t.Fatalf("Read = %v", err)
		}
		p.buf = append(p.buf, piece[:k]...)
	}
}

// wantKilled waits until the session has ended the connection for a reason
// that has text in it.
func (p *rawPeer) wantKilled(text string) {
	p.t.Helper()
	<-p.conn.Context().Done()
	ce := transport.ConnErr(p.conn.Context())
	if ce == nil || !ce.Remote || ce.Code != kith.InvalidArgument || !strings.Contains(ce.Reason, text) {
		p.t.Errorf("connection ended with %v, want InvalidArgument with %q", ce, text)
	}
}

func laneFrame(t wire.FrameType, body ...byte) []byte {
	return wire.EndLane(append(wire.AppendLane(nil, t), body...), 0)
}

func callFrame(id byte, m *kith.Method) []byte { return callFrameWith(id, m, `""`) }

func callFrameWith(id byte, m *kith.Method, msg string) []byte {
	head := wire.AppendHead([]byte{id}, m.Kind(), m.Name(), "json", 0, nil)
	return laneFrame(wire.FrameCall, append(head, msg...)...)
}

// What breaks the protocol ends the connection, and says why.
func TestProtocolBreaches(t *testing.T) {
	ping := laneFrame(wire.FramePing, 0, 0, 0, 0, 0, 0, 0, 1)
	for _, tc := range []struct {
		name   string
		frames [][]byte
		text   string
	}{
		{"unknown frame", [][]byte{laneFrame(99)}, "type 99"},
		{"second hello", [][]byte{goodHello()}, "type 1"},
		{"answer to no call", [][]byte{laneFrame(wire.FrameAnswer, 5, 0)}, "not open"},
		{"error of no call", [][]byte{laneFrame(wire.FrameFail, 5, 0, 5, 0, 0)}, "not open"},
		{"slot above the limit", [][]byte{callFrame(4, &hang.Method)}, "slot 4 of 4"},
		{"slot in use", [][]byte{callFrame(1, &hang.Method), callFrame(1, &hang.Method)}, "in use"},
		{"slot in use, refused otherwise", [][]byte{callFrame(1, &hang.Method), callFrame(1, &greet.Method)}, "in use"},
		{"stream method on the lane", [][]byte{callFrame(1, &hangStream.Method)}, "lane"},
		{"done twice", [][]byte{laneFrame(wire.FrameDone), laneFrame(wire.FrameDone)}, "done twice"},
		{"short ping", [][]byte{laneFrame(wire.FramePing, 1)}, "ping"},
		{"ping flood", [][]byte{[]byte(strings.Repeat(string(ping), 1000))}, "pings more often"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, p := rawPair(t, false, hanging(make(chan error, 10)))
			for _, f := range tc.frames {
				p.write(f)
			}
			p.wantKilled(tc.text)
		})
	}
	t.Run("ignored", func(t *testing.T) {
		_, p := rawPair(t, false, echoHandlers())
		p.write(laneFrame(128, 1, 2, 3))
		p.write(laneFrame(wire.FrameCancel, 77))
		p.write(laneFrame(wire.FrameCancelStream, 77))
		p.write(ping)
		if typ, body := p.next(); typ != wire.FramePong || binary.BigEndian.Uint64(body) != 1 {
			t.Errorf("after frames to be ignored: frame %d, %x, want the pong", typ, body)
		}
	})
}

// Whoever calls on and reads no refusal cannot make them pile up: once the link
// takes no more, their number is bounded by that of its slots.
func TestRefusalFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := rawPair(t, false, echoHandlers()) // has 4 slots
		flood := []byte(strings.Repeat(string(callFrame(1, &greet.Method)), 100))
		sent := 0
		for ; sent < 1_000_000; sent += 100 {
			if _, err := p.lane.Write(flood); err != nil {
				break
			}
			synctest.Wait()
		}
		p.wantKilled("more than 4 calls whose refusals were not read")
		t.Logf("closed after %d calls", sent)
	})
}

// A side that does not read its outcomes has no more calls in flight than slots.
func TestUnreadOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h kith.Handlers
		greet.Handle(&h, func(context.Context, string) (string, error) { return strings.Repeat("x", 15<<10), nil })
		s, p := rawPair(t, false, &h)
		for sent := 0; ; sent++ {
			if sent == 10_000 {
				t.Fatal("any number of calls is served whose outcomes nobody reads")
			}
			if _, err := p.lane.Write(callFrame(byte(sent%4), &greet.Method)); err != nil {
				break
			}
			synctest.Wait()
			if n := len(s.Serving()); n > 4 {
				t.Fatalf("%d calls in flight, want 4 at most", n)
			}
		}
		p.wantKilled("in use")
	})
}

// A call that gets its outcome twice, on the lane and by a stream, gets one.
func TestTwoOutcomes(t *testing.T) {
	s, p := rawPair(t, true, nil)
	got := make(chan error, 1)
	go func() {
		_, err := echo.Call(context.Background(), s, []byte("x"))
		got <- err
	}()
	_, body := p.next()
	id, _, err := wire.SplitNumber(body)
	if err != nil {
		t.Fatal(err)
	}
	st, err := p.conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	number := binary.AppendUvarint(nil, id)
	reply := wire.EndStream(append(wire.AppendStream(nil, wire.StreamReply), number...), 0)
	if _, err := st.Write(reply); err != nil {
		t.Fatal(err)
	}
	p.write(laneFrame(wire.FrameAnswer, append(number, 0)...))
	if err := <-got; err != nil {
		t.Errorf("Call = %v", err)
	}
	rest := wire.EndStream(append(wire.AppendStream(nil, wire.StreamMessage), "late"...), 0)
	rest = append(rest, wire.EndStream(append(wire.AppendStream(nil, wire.StreamEnd), 0), 0)...)
	_ = transport.WriteLast(st, rest)
	if _, err := echo.Call(context.Background(), s, []byte("y")); err == nil || kith.Remote(err) {
		t.Errorf("Call after a second outcome = %v, want the connection's end", err)
	}
}
