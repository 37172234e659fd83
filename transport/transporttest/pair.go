package transporttest

import (
	"testing"

	"github.com/kith-go/kith/transport"
)

// A pair is the two ends of one connection.
type pair struct {
	dialed, accepted transport.Conn
}

// A side is a pair seen from one end: whatever holds for streams holds
// whichever end opens them.
type side struct {
	name     string
	from, to transport.Conn
}

func (p pair) sides() [2]side {
	return [2]side{
		{"streams opened by the end that dialled", p.dialed, p.accepted},
		{"streams opened by the end that accepted", p.accepted, p.dialed},
	}
}

// listen makes the listener of the case.
func (r *run) listen() transport.Listener {
	l, err := r.Listener.Listen(r.ctx, r.Addr)
	if err != nil {
		r.fatalf("Listen(%v) = %v, want nil", r.Addr, err)
	}
	return l
}

func (r *run) dial(a transport.Addr) transport.Conn {
	c, err := r.Dialer.Dial(r.ctx, a)
	if err != nil {
		r.fatalf("Dial(%v) = %v, want nil", a, err)
	}
	return r.wrap(c)
}

func (r *run) accept(l transport.Listener) transport.Conn {
	c, err := l.Accept(r.ctx)
	if err != nil {
		r.fatalf("Accept() = %v, want nil", err)
	}
	return r.wrap(c)
}

// connect makes a connection to l. Nobody else may be dialling l.
func (r *run) connect(l transport.Listener) (p pair) {
	r.all(
		func() { p.dialed = r.dial(l.Addr()) },
		func() { p.accepted = r.accept(l) },
	)
	return p
}

// pair makes a listener and a connection to it.
func (r *run) pair() pair { return r.connect(r.listen()) }

func (r *run) openStream(c transport.Conn) transport.Stream {
	s, err := c.OpenStream(r.ctx)
	if err != nil {
		r.fatalf("OpenStream() = %v, want nil", err)
	}
	return s
}

func (r *run) acceptStream(c transport.Conn) transport.Stream {
	s, err := c.AcceptStream(r.ctx)
	if err != nil {
		r.fatalf("AcceptStream() = %v, want nil", err)
	}
	return s
}

// stream opens a stream and accepts it at the other end, having passed one
// byte over it. Nobody else may be opening streams in that direction.
func (r *run) stream(from, to transport.Conn) (near, far transport.Stream) {
	near = r.openStream(from)
	r.write(near, []byte{'!'})
	far = r.acceptStream(to)
	r.expect(far, []byte{'!'})
	return near, far
}

// hangUp closes both ends of a connection.
func (r *run) hangUp(p pair) {
	for _, c := range []transport.Conn{p.dialed, p.accepted} {
		if err := c.CloseWithError(0, "done"); err != nil {
			r.fatalf("CloseWithError() = %v, want nil", err)
		}
	}
}

// wrap makes the connection's streams read one byte at a time where the mode
// asks for it.
func (r *run) wrap(c transport.Conn) transport.Conn {
	if r.oneByte {
		return oneByteConn{c}
	}
	return c
}

// scale is n, or less where n bytes or rounds would take too long.
func (r *run) scale(n int) int {
	if r.oneByte {
		n /= 64
	}
	if testing.Short() {
		n /= 8
	}
	return max(n, 1)
}
