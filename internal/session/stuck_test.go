package session_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/quic"
)

// A gate lets a link's bytes pass until it is shut.
type gate struct {
	once sync.Once
	shut chan struct{}
	off  atomic.Bool
}

func newGate() *gate { return &gate{shut: make(chan struct{})} }

func (g *gate) close() {
	g.off.Store(true)
	g.once.Do(func() { close(g.shut) })
}

// gatedConn reads nothing any more once its gate is shut, as a process does
// that was stopped: the other side's writes fill the buffers between, and
// are stuck.
type gatedConn struct {
	net.Conn
	gate   *gate
	closed chan struct{}
	once   sync.Once
}

func (c *gatedConn) Read(p []byte) (int, error) {
	if c.gate.off.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	if c.gate.off.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *gatedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// gatedListener gates what it accepts.
type gatedListener struct {
	net.Listener
	gate *gate
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: c, gate: l.gate, closed: make(chan struct{})}, nil
}

// gatedTCP dials plain TCP or TLS, and listens behind a gate.
func gatedTCP(g *gate, plaintext bool) transport.Transport {
	var d net.Dialer
	var lc net.ListenConfig
	return listenAt{netconn.New(netconn.Config{
		Scheme: "gated", Plaintext: plaintext,
		Dial: func(ctx context.Context, a transport.Addr) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", a.Host)
		},
		Listen: func(ctx context.Context, a transport.Addr) (net.Listener, error) {
			l, err := lc.Listen(ctx, "tcp", a.Host)
			return gatedListener{l, g}, err
		},
	}), transport.Addr{Host: "127.0.0.1:0"}}
}

// gatedPackets swallows what is sent and what comes once its gate is shut.
type gatedPackets struct {
	net.PacketConn
	gate *gate
}

func (p gatedPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, a, err := p.PacketConn.ReadFrom(b)
		if err != nil || !p.gate.off.Load() {
			return n, a, err
		}
	}
}

func (p gatedPackets) WriteTo(b []byte, a net.Addr) (int, error) {
	if p.gate.off.Load() {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, a)
}

func gatedQUIC(g *gate) transport.Transport {
	return listenAt{quic.New(quic.Config{
		ListenPacket: func(ctx context.Context, network, address string) (net.PacketConn, error) {
			var lc net.ListenConfig
			pc, err := lc.ListenPacket(ctx, network, address)
			return gatedPackets{pc, g}, err
		},
	}), transport.Addr{Host: "127.0.0.1:0"}}
}

// A call of any shape returns at its deadline although the link is stuck in a
// write. How long after the deadline is in the log of -v.
func TestStuckRealLink(t *testing.T) {
	for name, make := range map[string]func(*gate) transport.Transport{
		"tcp-plain": func(g *gate) transport.Transport { return gatedTCP(g, true) },
		"tcp-tls":   func(g *gate) transport.Transport { return gatedTCP(g, false) },
		"quic":      gatedQUIC,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			tr := make(g)
			t.Cleanup(func() { _ = tr.Close() })
			p := connect(t, tr, hanging(nil), func(*session.Config) {})
			g.close()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			stuckCalls(ctx, t, p.dialed)
		})
	}
}

// stuckCalls makes calls of all shapes, with more bytes than any buffer on
// the way takes.
func stuckCalls(ctx context.Context, t *testing.T, s kith.Caller) {
	var late atomic.Int64
	var wg sync.WaitGroup
	deadline, _ := ctx.Deadline()
	check := func(name string, call func(context.Context, kith.Caller) error) {
		err := call(ctx, s)
		after := time.Since(deadline)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: call = %v, want %v", name, err, context.DeadlineExceeded)
		}
		for {
			if m := late.Load(); int64(after) <= m || late.CompareAndSwap(m, int64(after)) {
				return
			}
		}
	}
	big := make([]byte, 4<<20)
	for range 16 {
		wg.Go(func() {
			check("large", func(ctx context.Context, c kith.Caller) error {
				_, err := hangLarge.Call(ctx, c, big)
				return err
			})
		})
	}
	for name, call := range calls {
		wg.Go(func() { check(name, call) })
	}
	wg.Wait()
	t.Logf("the last call returned %v after its deadline", time.Duration(late.Load()))
}
