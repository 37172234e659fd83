package session_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// wrapping is a transport whose connections are wrapped at each end.
type wrapping struct {
	transport.Transport
	dialed, accepted func(transport.Conn) transport.Conn
}

func (w wrapping) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	c, err := w.Transport.Dial(ctx, a)
	if err != nil {
		return nil, err
	}
	return w.dialed(c), nil
}

func (w wrapping) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	l, err := w.Transport.Listen(ctx, a)
	return wrappingListener{l, w.accepted}, err
}

type wrappingListener struct {
	transport.Listener
	wrap func(transport.Conn) transport.Conn
}

func (l wrappingListener) Accept(ctx context.Context) (transport.Conn, error) {
	c, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// A countingConn counts the streams that pass it.
type countingConn struct {
	transport.Conn
	streams *atomic.Int64
}

func (c countingConn) OpenStream(ctx context.Context) (transport.Stream, error) {
	c.streams.Add(1)
	return c.Conn.OpenStream(ctx)
}

func (c countingConn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	s, err := c.Conn.AcceptStream(ctx)
	if err == nil {
		c.streams.Add(1)
	}
	return s, err
}

// An openCountingConn lets the session see what it wraps.
type openCountingConn struct{ countingConn }

func (c openCountingConn) Unwrap() transport.Conn { return c.Conn }

// A wrapper is what may be between a session and its connection.
type wrapper struct {
	name   string
	counts bool // the streams that it sees
	hides  bool // our mux
	wrap   func(c transport.Conn, n *atomic.Int64) transport.Conn
}

var wrappers = []wrapper{
	{name: "bare", wrap: func(c transport.Conn, _ *atomic.Int64) transport.Conn { return c }},
	{name: "hidden", counts: true, hides: true, wrap: func(c transport.Conn, n *atomic.Int64) transport.Conn {
		return countingConn{c, n}
	}},
	{name: "unwrapped", counts: true, wrap: func(c transport.Conn, n *atomic.Int64) transport.Conn {
		return openCountingConn{countingConn{c, n}}
	}},
	{name: "unwrapped twice", counts: true, wrap: func(c transport.Conn, n *atomic.Int64) transport.Conn {
		return openCountingConn{countingConn{openCountingConn{countingConn{c, new(atomic.Int64)}}, n}}
	}},
	{name: "context taken", wrap: func(c transport.Conn, _ *atomic.Int64) transport.Conn {
		c.Context()
		return c
	}},
}

// The two ends of a connection need not see the same of it.
func TestWrappedConns(t *testing.T) {
	for name, tr := range map[string]func() transport.Transport{
		"tcp": func() transport.Transport {
			return listenAt{tcp.New(tcp.Config{Plaintext: true}), transport.Addr{Host: "127.0.0.1:0"}}
		},
		"quic": func() transport.Transport {
			return listenAt{quic.New(quic.Config{}), transport.Addr{Host: "127.0.0.1:0"}}
		},
	} {
		for _, d := range wrappers {
			for _, a := range wrappers {
				if name == "quic" && d.hides == a.hides {
					continue // it has no lane of its own: enough to see that nothing is looked for
				}
				t.Run(name+"/"+d.name+" to "+a.name, func(t *testing.T) {
					inner := tr()
					t.Cleanup(func() { _ = inner.Close() })
					var dialed, accepted atomic.Int64
					p := connect(t, wrapping{
						inner,
						func(c transport.Conn) transport.Conn { return d.wrap(c, &dialed) },
						func(c transport.Conn) transport.Conn { return a.wrap(c, &accepted) },
					}, echoHandlers(), nil)
					testEcho(t, p, 10)
					opened := name == "quic" || d.hides // the lane, as a stream
					passed := opened || a.hides         // and so it came
					d.want(t, "small calls at the end that dialled", dialed.Load(), opened, 0)
					a.want(t, "small calls at the end that accepted", accepted.Load(), passed, 0)
					testEcho(t, p, 100_000)
					d.want(t, "all calls at the end that dialled", dialed.Load(), opened, 2)
					a.want(t, "all calls at the end that accepted", accepted.Load(), passed, 2)
				})
			}
		}
	}
}

// want checks how many streams w counted: those of calls, and the lane where that
// is one.
func (w wrapper) want(t *testing.T, of string, got int64, lane bool, calls int64) {
	t.Helper()
	if want := calls + map[bool]int64{true: 1}[lane]; w.counts && got != want {
		t.Errorf("%d streams for %s, want %d", got, of, want)
	}
}

// testEcho calls from both ends, with messages of n bytes.
func testEcho(t *testing.T, p pair, n int) {
	t.Helper()
	for from, s := range map[string]*session.Session{"dialled": p.dialed, "accepted": p.accepted} {
		msg := bytes.Repeat([]byte("x"), n)
		if got, err := echo.Call(t.Context(), s, msg); err != nil || !bytes.Equal(got, msg) {
			t.Errorf("Echo(%d bytes) from the end that %s = %d bytes, %v", n, from, len(got), err)
		}
	}
}

// Drain counts and orders across the lane and streams, whichever they are.
func TestDrainOfWrappedConns(t *testing.T) {
	for _, w := range []int{1, 2} { // hidden, unwrapped
		for _, ends := range []string{"dialled", "accepted", "both"} {
			t.Run(wrappers[w].name+" "+ends, func(t *testing.T) {
				inner := tcp.New(tcp.Config{Plaintext: true})
				t.Cleanup(func() { _ = inner.Close() })
				wrap := func(at string) func(transport.Conn) transport.Conn {
					return func(c transport.Conn) transport.Conn {
						if ends == at || ends == "both" {
							return wrappers[w].wrap(c, new(atomic.Int64))
						}
						return c
					}
				}
				testDrainLosesNothing(t, wrapping{
					listenAt{inner, transport.Addr{Host: "127.0.0.1:0"}}, wrap("dialled"), wrap("accepted"),
				})
			})
		}
	}
}

// rawMux returns a session that accepted, as soon as it has judged, and the
// other end of its connection.
func rawMux(t *testing.T, wrap func(transport.Conn) transport.Conn) (accepted chan error, raw *mux.Conn) {
	t.Helper()
	near, far := net.Pipe()
	raw = mux.New(near, mux.Config{Dialed: true})
	in := mux.New(far, mux.Config{})
	cfg := session.Config{Handlers: echoHandlers(), Admit: admit.Anyone(), HelloTimeout: time.Minute}.Defaults()
	accepted = make(chan error, 1)
	go func() {
		s, err := session.Accept(t.Context(), wrap(in), &cfg)
		if err == nil {
			<-s.Ended()
			err = s.Err()
		}
		accepted <- err
	}()
	t.Cleanup(func() {
		_ = raw.CloseWithError(kith.OK, "")
		_ = in.CloseWithError(kith.OK, "")
	})
	return accepted, raw
}

func helloFrame() []byte {
	h := wire.Hello{Version: wire.Version, LaneCalls: 16, MaxMessage: 1 << 20}
	return wire.EndLane(h.Append(wire.AppendLane(nil, wire.FrameHello)), 0)
}

// There is one lane: the connection ends where a side uses two.
func TestTwoLanes(t *testing.T) {
	bare := func(c transport.Conn) transport.Conn { return c }
	open := func(c transport.Conn) transport.Conn { return openCountingConn{countingConn{c, new(atomic.Int64)}} }
	onStream := func(t *testing.T, raw *mux.Conn, p []byte) transport.Stream {
		st, err := raw.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write(p); err != nil {
			t.Errorf("Write = %v", err)
		}
		return st
	}
	for name, tc := range map[string]struct {
		wrap   func(transport.Conn) transport.Conn
		send   func(t *testing.T, raw *mux.Conn)
		reason string
	}{
		"the stream first": {bare, func(t *testing.T, raw *mux.Conn) {
			if _, err := onStream(t, raw, helloFrame()).Read(make([]byte, 1)); err != nil {
				t.Errorf("Read of the welcome = %v", err)
			}
			_ = raw.WriteLane(append(make([]byte, mux.Headroom), helloFrame()...))
		}, "beside the stream that is the lane"},
		"the lane first": {bare, func(t *testing.T, raw *mux.Conn) {
			_ = raw.WriteLane(append(make([]byte, mux.Headroom), helloFrame()[:3]...))
			onStream(t, raw, helloFrame())
		}, "stream before hello"},
		"two streams": {bare, func(t *testing.T, raw *mux.Conn) {
			onStream(t, raw, helloFrame()[:3])
			onStream(t, raw, helloFrame()[:3])
		}, "stream before hello"},
		"two streams, past a wrapper": {open, func(t *testing.T, raw *mux.Conn) {
			onStream(t, raw, helloFrame()[:3])
			onStream(t, raw, helloFrame()[:3])
		}, "stream before hello"},
	} {
		t.Run(name, func(t *testing.T) {
			accepted, raw := rawMux(t, tc.wrap)
			tc.send(t, raw)
			<-raw.Context().Done()
			if ce := transport.ConnErr(raw.Context()); !ce.Remote || !strings.Contains(ce.Reason, tc.reason) {
				t.Errorf("the connection ended with %v, want %q", ce, tc.reason)
			}
			if err := <-accepted; err == nil {
				t.Error("Accept = nil")
			}
		})
	}
}

// A wrapper that wraps itself is one that wraps nothing of ours.
func TestUnwrapCycle(t *testing.T) {
	inner := tcp.New(tcp.Config{Plaintext: true})
	t.Cleanup(func() { _ = inner.Close() })
	told := make(chan string, 1)
	self := func(c transport.Conn) transport.Conn { return selfWrapper{c} }
	p := connect(t, wrapping{listenAt{inner, transport.Addr{Host: "127.0.0.1:0"}}, self, self}, allKinds(told), nil)
	testAllKinds(t, p.dialed, told)
}

type selfWrapper struct{ transport.Conn }

func (w selfWrapper) Unwrap() transport.Conn { return w }
