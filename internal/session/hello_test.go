package session_test

import (
	"io"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// A stream that comes before hello runs no handler, on any transport.
func TestStreamBeforeHello(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		ran := make(chan string, 1)
		h := allKinds(ran)
		w := session.NewWorkers(-1)
		defer w.Close()
		l, err := tr.Listen(t.Context(), transport.Addr{Host: "early"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		accepted := make(chan error, 1)
		cfg := session.Config{Handlers: h, Workers: w, Admit: admit.Anyone(), HelloTimeout: time.Minute}.Defaults()
		go func() {
			in, err := l.Accept(t.Context())
			if err == nil {
				_, err = session.Accept(t.Context(), in, &cfg)
			}
			accepted <- err
		}()
		raw, err := tr.Dial(t.Context(), l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = raw.CloseWithError(kith.OK, "") }()
		st, err := raw.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open := wire.AppendHead(appendStreamNumber(0), kith.KindNotify, tell.Name(), "json", 0, nil)
		open = wire.EndStream(open, 0)
		start := len(open)
		open = wire.EndStream(append(wire.AppendStream(open, wire.StreamMessage), `"early"`...), start)
		// It fails if the other side has read enough to close before the last of it
		// is written.
		_ = transport.WriteLast(st, open)
		if _, err := io.ReadAll(st); err == nil {
			t.Error("the stream ended well")
		}
		if err := <-accepted; err == nil {
			t.Error("Accept = nil")
		}
		select {
		case <-ran:
			t.Error("the handler ran")
		default:
		}
	})
}

// Frames may come in any pieces, one byte at a time too.
func TestOneByteAtATime(t *testing.T) {
	tr := overMemory(t)
	raw, in := conns(t, tr)
	defer func() { _ = raw.CloseWithError(kith.OK, "") }()
	told := make(chan string, 2)
	w := session.NewWorkers(-1)
	defer w.Close()
	cfg := session.Config{Handlers: allKinds(told), Workers: w, Admit: admit.Anyone()}.Defaults()
	st, err := raw.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	call := wire.AppendHead([]byte{0}, kith.KindNotify, tell.Name(), "json", 0, nil)
	call = wire.EndLane(append(wire.AppendLane(nil, wire.FrameCall), append(call, `"slow"`...)...), 0)
	go func() {
		for _, b := range append(goodHello(), call...) {
			if _, err := st.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	s, err := session.Accept(t.Context(), in, &cfg)
	if err != nil {
		t.Fatalf("Accept = %v", err)
	}
	if got := <-told; got != "slow" {
		t.Errorf("told %q", got)
	}
	_ = s.Close(kith.OK, "")
}
