package session_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/quic"
)

// met is what became of two sides that met.
type met struct {
	dialed, accepted *session.Session
	derr, aerr       error
}

// meet makes a connection over tr, and a session at each end. Whatever comes
// of it is closed when the test ends.
func meet(t *testing.T, tr transport.Transport, dials, accepts admit.Policy, h *kith.Handlers) met {
	t.Helper()
	dial, accept := conns(t, tr)
	w := session.NewWorkers(-1)
	acfg := session.Config{Handlers: h, Workers: w, Admit: accepts, HelloTimeout: time.Minute}.Defaults()
	dcfg := acfg
	dcfg.Admit = dials
	var m met
	var accepting sync.WaitGroup
	accepting.Go(func() { m.accepted, m.aerr = session.Accept(t.Context(), accept, &acfg) })
	m.dialed, m.derr = session.Dial(t.Context(), dial, &dcfg)
	accepting.Wait()
	t.Cleanup(func() {
		_ = dial.CloseWithError(kith.OK, "test over")
		_ = accept.CloseWithError(kith.OK, "test over")
		for _, s := range []*session.Session{m.dialed, m.accepted} {
			if s != nil {
				_ = s.Close(kith.OK, "test over")
			}
		}
		w.Close()
	})
	return m
}

// Members meet and call each other over every transport that proves
// identities, one of the user's own included.
func TestNetworkKeyOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		key := admit.NewNetworkKey()
		if strings.HasSuffix(t.Name(), "/tcp-plain") {
			m := meet(t, tr, admit.NetworkKey(key), admit.NetworkKey(key), echoHandlers())
			if kith.CodeOf(m.derr) != kith.Unauthenticated || kith.Remote(m.derr) || !strings.Contains(m.derr.Error(), "plaintext") || !kith.Unprocessed(m.derr) {
				t.Errorf("Dial over plaintext = %v, want Unauthenticated from this side, with the reason", m.derr)
			}
			if m.aerr == nil {
				t.Error("Accept over plaintext = nil")
			}
			m = meet(t, tr, nil, admit.NetworkKey(key), echoHandlers())
			if kith.CodeOf(m.derr) != kith.Unauthenticated || !kith.Remote(m.derr) {
				t.Errorf("Dial without a key over plaintext = %v, want a remote Unauthenticated", m.derr)
			}
			return
		}
		m := meet(t, tr, admit.NetworkKey(key), admit.NetworkKey(admit.NewNetworkKey(), key), echoHandlers())
		if m.derr != nil || m.aerr != nil {
			t.Fatalf("members: Dial = %v, Accept = %v, want no error", m.derr, m.aerr)
		}
		for _, s := range []*session.Session{m.dialed, m.accepted} {
			if got, err := echo.Call(t.Context(), s, []byte("x")); string(got) != "x" || err != nil {
				t.Errorf("Call = %q, %v, want x", got, err)
			}
		}
		for name, stranger := range map[string]admit.Policy{
			"no policy": nil, "no key": admit.Anyone(), "another key": admit.NetworkKey(admit.NewNetworkKey()),
		} {
			m := meet(t, tr, stranger, admit.NetworkKey(key), echoHandlers())
			if !errors.Is(m.derr, admit.ErrNetworkKey) || !kith.Remote(m.derr) || !kith.Unprocessed(m.derr) || strings.Contains(m.derr.Error(), "presents") {
				t.Errorf("%s: Dial = %v, want a remote %v, unprocessed, and no more", name, m.derr, admit.ErrNetworkKey)
			}
			if !errors.Is(m.aerr, admit.ErrNetworkKey) || kith.Remote(m.aerr) || !strings.Contains(m.aerr.Error(), "presents") {
				t.Errorf("%s: Accept = %v, want %v, with what was wrong", name, m.aerr, admit.ErrNetworkKey)
			}
		}
		m = meet(t, tr, admit.NetworkKey(key), admit.Anyone(), echoHandlers())
		if !errors.Is(m.derr, admit.ErrNetworkKey) || kith.Remote(m.derr) || !kith.Unprocessed(m.derr) {
			t.Errorf("Dial to a side without the key = %v, want %v from this side", m.derr, admit.ErrNetworkKey)
		}
	})
}

// rawTransports are those whose lane is the first stream, which a test can open.
func rawTransports(t *testing.T, f func(t *testing.T, alice, bob, mallory transport.Transport)) {
	network := memory.NewNetwork(memory.NetworkConfig{})
	t.Cleanup(func() { _ = network.Close() })
	for name, makeOne := range map[string]func() transport.Transport{
		"memory": func() transport.Transport { return network.Transport(memory.Config{}) },
		"quic": func() transport.Transport {
			return listenAt{quic.New(quic.Config{}), transport.Addr{Host: "127.0.0.1:0"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var trs [3]transport.Transport
			for i := range trs {
				trs[i] = makeOne()
				t.Cleanup(func() { _ = trs[i].Close() })
			}
			f(t, trs[0], trs[1], trs[2])
		})
	}
}

// accepting runs session.Accept on what comes to l, until the test ends, and
// sends what came of each.
func accepting(t *testing.T, tr transport.Transport, cfg *session.Config) (transport.Addr, <-chan error) {
	t.Helper()
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 10)
	var loops sync.WaitGroup
	loops.Go(func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			loops.Go(func() {
				s, err := session.Accept(context.Background(), conn, cfg)
				if err == nil {
					_ = s.Close(kith.OK, "admitted")
				}
				results <- err
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		loops.Wait()
	})
	return l.Addr(), results
}

// readFrame reads the lane until it has a whole frame, and returns all that
// came.
func readFrame(t *testing.T, lane transport.Stream) []byte {
	t.Helper()
	var p []byte
	for {
		piece := make([]byte, 4096)
		k, err := lane.Read(piece)
		p = append(p, piece[:k]...)
		if _, _, n, _, _ := wire.NextLane(p); n > 0 {
			return p
		}
		if err != nil {
			t.Fatalf("Read = %v after % x, want a frame", err, p)
		}
	}
}

// readFrames reads the lane until its end, and returns the types of its
// frames, and the bodies.
func readFrames(t *testing.T, lane transport.Stream, p []byte) (types []wire.FrameType, bodies [][]byte) {
	t.Helper()
	rest, _ := io.ReadAll(lane) // ends with the connection, well or not
	for p = append(p, rest...); len(p) > 0; {
		typ, body, n, _, err := wire.NextLane(p)
		if err != nil || n == 0 {
			t.Fatalf("the lane carries % x: %v", p, err)
		}
		types, bodies = append(types, typ), append(bodies, body)
		p = p[n:]
	}
	return types, bodies
}

// A dialler that is not admitted reads one refusal and nothing else, and its
// early calls do not run.
func TestUnadmittedDiallerLearnsNothing(t *testing.T) {
	rawTransports(t, func(t *testing.T, _, bob, mallory transport.Transport) {
		w := session.NewWorkers(-1)
		defer w.Close()
		told := make(chan string, 10)
		cfg := session.Config{
			Handlers: allKinds(told), Workers: w, Admit: admit.NetworkKey(admit.NewNetworkKey()), HelloTimeout: time.Minute,
		}.Defaults()
		addr, results := accepting(t, bob, &cfg)
		conn, err := mallory.Dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseWithError(kith.OK, "")
		lane, err := conn.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		early := callFrameWith(0, &tell.Method, `"early"`)
		if _, err := lane.Write(append(goodHello(), early...)); err != nil {
			t.Fatal(err)
		}
		first := readFrame(t, lane)
		_ = lane.CloseWrite() // which ends the connection
		types, bodies := readFrames(t, lane, first)
		if len(types) != 1 || types[0] != wire.FrameRefuse {
			t.Fatalf("frames of types %v, want one REFUSE", types)
		}
		f, err := wire.ParseFail(bodies[0])
		if err != nil || !errors.Is(f.Err(), admit.ErrNetworkKey) || !f.Unprocessed || f.Message != admit.ErrNetworkKey.Message() || f.Details != nil {
			t.Errorf("REFUSE = %+v, %v, want %v only", f, err, admit.ErrNetworkKey)
		}
		if err := <-results; !errors.Is(err, admit.ErrNetworkKey) {
			t.Errorf("Accept = %v, want %v", err, admit.ErrNetworkKey)
		}
		select {
		case what := <-told:
			t.Errorf("the handler ran with %q", what)
		default:
		}
	})
}

// An acceptor without the key reads a hello with a proof that is of no use to
// it: to send it back, to take it to another member, now or later.
func TestUnadmittedAcceptorLearnsNothing(t *testing.T) {
	rawTransports(t, func(t *testing.T, alice, bob, mallory transport.Transport) {
		w := session.NewWorkers(-1)
		defer w.Close()
		key := admit.NewNetworkKey()
		cfg := session.Config{
			Handlers: echoHandlers(), Workers: w, Admit: admit.NetworkKey(key), HelloTimeout: time.Minute,
		}.Defaults()
		l, err := mallory.Listen(t.Context(), transport.Addr{Host: "mallory"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dialled := make(chan error, 1)
		go func() {
			conn, err := alice.Dial(t.Context(), l.Addr())
			if err == nil {
				_, err = session.Dial(t.Context(), conn, &cfg)
			}
			dialled <- err
		}()
		conn, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseWithError(kith.OK, "")
		lane, err := conn.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		captured := readFrame(t, lane)
		_, body, size, _, err := wire.NextLane(captured)
		if err != nil || size != len(captured) {
			t.Fatalf("%d bytes came, of which the first frame has %d, %v, want a HELLO alone", len(captured), size, err)
		}
		hello, err := wire.ParseHello(body)
		if err != nil || len(hello.Proof) == 0 {
			t.Fatalf("ParseHello = %+v, %v, want one with a proof", hello, err)
		}
		echo := wire.Hello{Version: wire.Version, LaneCalls: 16, MaxMessage: 1 << 20, Proof: hello.Proof}
		if _, err := lane.Write(wire.EndLane(echo.Append(wire.AppendLane(nil, wire.FrameWelcome)), 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-dialled; !errors.Is(err, admit.ErrNetworkKey) || kith.Remote(err) {
			t.Errorf("Dial of who echoes = %v, want %v", err, admit.ErrNetworkKey)
		}
		if types, _ := readFrames(t, lane, nil); len(types) != 0 {
			t.Errorf("frames of types %v behind hello, want none", types)
		}
		<-conn.Context().Done()
		if ce := transport.ConnErr(conn.Context()); ce == nil || ce.Code != kith.PermissionDenied || ce.Reason != admit.ErrNetworkKey.Message() {
			t.Errorf("the connection ended with %v, want PermissionDenied and the authored text", ce)
		}

		addr, results := accepting(t, bob, &cfg)
		replay, err := mallory.Dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		defer replay.CloseWithError(kith.OK, "")
		lane, err = replay.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lane.Write(captured); err != nil {
			t.Fatal(err)
		}
		if typ, _, _, _, err := wire.NextLane(readFrame(t, lane)); typ != wire.FrameRefuse {
			t.Errorf("a replayed hello is answered by a frame of type %d, %v, want REFUSE", typ, err)
		}
		_ = replay.CloseWithError(kith.OK, "refused")
		if err := <-results; !errors.Is(err, admit.ErrNetworkKey) {
			t.Errorf("Accept of a replayed hello = %v, want %v", err, admit.ErrNetworkKey)
		}
	})
}

// Somebody between two members, who passes everything on but has an identity
// of its own, is found out by whoever judges first.
func TestManInTheMiddle(t *testing.T) {
	rawTransports(t, func(t *testing.T, alice, bob, mallory transport.Transport) {
		w := session.NewWorkers(-1)
		defer w.Close()
		cfg := session.Config{
			Handlers: echoHandlers(), Workers: w, Admit: admit.NetworkKey(admit.NewNetworkKey()), HelloTimeout: time.Minute,
		}.Defaults()
		addr, results := accepting(t, bob, &cfg)
		l, err := mallory.Listen(t.Context(), transport.Addr{Host: "mallory"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var relays sync.WaitGroup
		defer relays.Wait()
		relays.Go(func() { relay(t, l, mallory, addr) })
		conn, err := alice.Dial(t.Context(), l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, err = session.Dial(t.Context(), conn, &cfg)
		if !errors.Is(err, admit.ErrNetworkKey) {
			t.Errorf("Dial of who is between = %v, want %v", err, admit.ErrNetworkKey)
		}
		if err := <-results; !errors.Is(err, admit.ErrNetworkKey) {
			t.Errorf("Accept from who is between = %v, want %v", err, admit.ErrNetworkKey)
		}
	})
}

// relay passes on the lane of one connection that comes to l.
func relay(t *testing.T, l transport.Listener, tr transport.Transport, to transport.Addr) {
	near, err := l.Accept(t.Context())
	if err != nil {
		t.Errorf("Accept = %v", err)
		return
	}
	defer near.CloseWithError(kith.OK, "")
	far, err := tr.Dial(t.Context(), to)
	if err != nil {
		t.Errorf("Dial = %v", err)
		return
	}
	a, err := near.AcceptStream(t.Context())
	if err != nil {
		t.Errorf("AcceptStream = %v", err)
		return
	}
	b, err := far.OpenStream(t.Context())
	if err != nil {
		t.Errorf("OpenStream = %v", err)
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(a, b) })
	_, _ = io.Copy(b, a) // until alice hangs up
	_ = far.CloseWithError(kith.OK, "refused")
	back.Wait()
}
