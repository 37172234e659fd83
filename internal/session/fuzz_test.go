package session_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// goodHello is a hello that is admitted.
func goodHello() []byte {
	h := wire.Hello{Version: wire.Version, LaneCalls: 16, MaxMessage: 1 << 20}
	return wire.EndLane(h.Append(wire.AppendLane(nil, wire.FrameHello)), 0)
}

// FuzzPeer lets the other side write anything on the lane and on one stream.
// Nothing may panic, and the session must end when the connection does.
func FuzzPeer(f *testing.F) {
	call := wire.AppendHead([]byte{5}, kith.KindUnary, echo.Name(), "raw", 0, nil)
	call = wire.EndLane(append(wire.AppendLane(nil, wire.FrameCall), append(call, "hello"...)...), 0)
	open := wire.AppendHead(appendStreamNumber(0), kith.KindBidi, chat.Name(), "json", 0, nil)
	open = wire.EndStream(open, 0)
	f.Add(true, append(goodHello(), call...), open)
	f.Add(true, append(goodHello(), wire.AppendNumber(nil, wire.FrameCancel, 5)...), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(false, []byte("GET / HTTP/1.1\r\n\r\n"), []byte{})
	for _, t := range []wire.FrameType{wire.FrameAnswer, wire.FrameFail, wire.FramePing, wire.FrameDrain, wire.FrameDone, wire.FrameDrainAck, 200} {
		f.Add(true, wire.EndLane(append(wire.AppendLane(goodHello(), t), 1, 0), len(goodHello())), open)
	}
	h := allKinds(make(chan string, 100))
	f.Fuzz(func(t *testing.T, hello bool, lane, stream []byte) {
		tr := memory.New(memory.Config{})
		defer func() { _ = tr.Close() }()
		raw, in := conns(t, tr)
		w := session.NewWorkers(64)
		defer w.Close()
		cfg := session.Config{Handlers: h, Workers: w, Admit: admit.Anyone()}.Defaults()
		go scribble(t.Context(), raw, hello, lane, stream)
		s, err := session.Accept(t.Context(), in, &cfg)
		if err == nil {
			<-s.Ended()
			_ = s.Close(kith.OK, "")
		}
		<-w.Quiet()
	})
}

func appendStreamNumber(n byte) []byte { return append(wire.AppendStream(nil, wire.StreamOpen), n) }

// scribble writes what the fuzzer made, and hangs up.
func scribble(ctx context.Context, conn transport.Conn, hello bool, lane, stream []byte) {
	defer func() { _ = conn.CloseWithError(kith.OK, "") }()
	first, err := conn.OpenStream(ctx)
	if err != nil {
		return
	}
	if hello {
		lane = append(goodHello(), lane...)
	}
	second, err := conn.OpenStream(ctx)
	if err != nil {
		return
	}
	// The lane's end ends the connection, once all before it was read.
	_, _ = second.Write(stream)
	_ = second.CloseWrite()
	_, _ = first.Write(lane)
	_ = first.CloseWrite()
	<-conn.Context().Done()
}

// What is not hello ends the connection with a reason that says so.
func TestGarbageInsteadOfHello(t *testing.T) {
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01", strings.Repeat("\xff", 100), "\x04\x00\x00\x00"} {
		tr := overMemory(t)
		raw, in := conns(t, tr)
		st, err := raw.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		cfg := session.Config{Admit: admit.Anyone()}.Defaults()
		if _, err := session.Accept(t.Context(), in, &cfg); err == nil || kith.CodeOf(err) != kith.Unavailable {
			t.Errorf("Accept after %s = %v, want an error", hex.EncodeToString([]byte(garbage)), err)
		}
		<-raw.Context().Done()
		if ce := transport.ConnErr(raw.Context()); ce == nil || !ce.Remote || !strings.Contains(ce.Reason, "hello") && !strings.Contains(ce.Reason, "frame") {
			t.Errorf("after %q: connection ended with %v, want a reason", garbage, ce)
		}
	}
}
