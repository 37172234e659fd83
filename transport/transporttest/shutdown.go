package transporttest

import (
	"context"
	"errors"

	"github.com/kith-go/kith/transport"
)

var transportCases = []testCase{
	{"CloseEndsEverything", transportCloseEndsEverything},
	{"CloseOfTheDialler", dialerCloseEndsConns},
	{"CloseEndsDial", transportCloseEndsDial},
	{"UseAfterClose", transportUseAfterClose},
}

const closeEndsAll = "ends all listeners and connections of the transport"

// transportCloseEndsEverything closes the listening transport under calls
// that are blocked at both ends.
func transportCloseEndsEverything(r *run) {
	l := r.listen()
	p := r.connect(l)
	r.obey(rule{"Transport.Close", closeEndsAll})
	near, far := r.stream(p.dialed, p.accepted)
	var blocked []*task
	for _, f := range []func(){
		func() {
			_, err := l.Accept(r.ctx)
			r.expectClosed("Accept() at Transport.Close", err)
		},
		func() {
			_, err := p.accepted.AcceptStream(r.ctx)
			r.expectClosed("AcceptStream() at Transport.Close", err)
		},
		func() {
			_, err := p.dialed.AcceptStream(r.ctx)
			r.expectClosed("AcceptStream() at Transport.Close of the other end", err)
		},
		func() {
			_, err := far.Read(make([]byte, 1))
			r.expectClosed("Read() at Transport.Close", err)
		},
		func() {
			_, err := near.Read(make([]byte, 1))
			r.expectClosed("Read() at Transport.Close of the other end", err)
		},
	} {
		blocked = append(blocked, r.start(f))
	}
	r.letBlock()
	r.each(4, func(int) { r.closeTransport(r.Listener) })
	r.closeTransport(r.Listener)
	for _, t := range blocked {
		t.wait()
	}
	r.obey(rule{"Conn.Context", "Its cause is a [*ConnError]."})
	for _, c := range []transport.Conn{p.accepted, p.dialed} {
		r.awaitEnd(c)
		if transport.ConnErr(c.Context()) == nil {
			r.fatalf("Context's cause after Transport.Close = %v, want a *ConnError", context.Cause(c.Context()))
		}
	}
}

func (r *run) closeTransport(t transport.Transport) {
	if err := t.Close(); err != nil {
		r.fatalf("Close() of the transport = %v, want nil", err)
	}
}

func dialerCloseEndsConns(r *run) {
	p := r.pair()
	r.obey(rule{"Transport.Close", closeEndsAll})
	r.closeTransport(r.Dialer)
	for _, c := range []transport.Conn{p.dialed, p.accepted} {
		r.awaitEnd(c)
		r.expectClosed("Context's cause after Transport.Close", context.Cause(c.Context()))
	}
	_, err := p.dialed.OpenStream(r.ctx)
	r.expectClosed("OpenStream() after Transport.Close", err)
}

func transportCloseEndsDial(r *run) {
	if r.Silent == (transport.Addr{}) {
		r.skip("Setup.Silent is not set")
	}
	a := r.silentAddr()
	r.obey(rule{"Transport.Close", "Dial and Listen fail with [ErrClosed] from then on."})
	dial := r.start(func() {
		_, err := r.Dialer.Dial(r.ctx, a)
		r.expectClosed("Dial() at Transport.Close", err)
	})
	r.letBlock()
	r.closeTransport(r.Dialer)
	dial.wait()
}

func transportUseAfterClose(r *run) {
	l := r.listen()
	a := l.Addr()
	r.closeTransport(r.Dialer)
	r.closeTransport(r.Listener)
	r.obey(rule{"Transport.Close", "Dial and Listen fail with [ErrClosed] from then on."})
	_, err := r.Dialer.Dial(r.ctx, a)
	if !errors.Is(err, transport.ErrClosed) {
		r.fatalf("Dial() after Close = %v, want ErrClosed", err)
	}
	_, err = r.Listener.Listen(r.ctx, r.Addr)
	if !errors.Is(err, transport.ErrClosed) {
		r.fatalf("Listen() after Close = %v, want ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		r.fatalf("Listener.Close() after Transport.Close = %v, want nil", err)
	}
}
