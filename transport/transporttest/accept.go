package transporttest

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/kith-go/kith/transport"
)

var acceptCases = []testCase{
	{"HonoursCtx", acceptHonoursCtx},
	{"CtxLosesNoConn", acceptLosesNoConn},
	{"CtxLosesNoStream", acceptLosesNoStream},
	{"CloseUnblocks", listenerCloseUnblocks},
	{"CloseSparesAccepted", listenerCloseSparesAccepted},
	{"CloseEndsUnaccepted", listenerCloseEndsUnaccepted},
}

const onlyThisCall = "The end of ctx ends this call only."

// acceptHonoursCtx ends the ctx of both kinds of Accept, before and during.
func acceptHonoursCtx(r *run) {
	l := r.listen()
	p := r.connect(l)
	r.obey(rule{"Listener.Accept", onlyThisCall})
	acceptWithNothing(r, "Accept", l.Accept)
	r.obey(rule{"Conn.AcceptStream", onlyThisCall})
	acceptWithNothing(r, "AcceptStream where dialled", p.dialed.AcceptStream)
	acceptWithNothing(r, "AcceptStream where accepted", p.accepted.AcceptStream)
	for _, side := range p.sides() {
		near, far := r.stream(side.from, side.to)
		r.finishStream(near, far)
	}
	r.connect(l)
}

// acceptWithNothing calls accept where there is nothing to accept.
func acceptWithNothing[T any](r *run, name string, accept func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(r.ctx, stall/4)
	defer cancel()
	if _, err := accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
		r.fatalf("%s(ctx that ends meanwhile) = %v, want context.DeadlineExceeded", name, err)
	}
	ctx, cancel = context.WithCancel(r.ctx)
	cancel()
	if _, err := accept(ctx); !errors.Is(err, context.Canceled) {
		r.fatalf("%s(ctx that has ended) = %v, want context.Canceled", name, err)
	}
}

// impatient calls accept, each time with a ctx that ends just before or during
// the call, until it succeeded.
func impatient[T any](r *run, accept func(context.Context) (T, error)) T {
	for i := 0; ; i++ {
		if r.bubble { // a loop that never waits would stop the clock, and links with it
			time.Sleep(time.Microsecond)
		}
		ctx, cancel := context.WithCancel(r.ctx)
		canceller := r.start(cancel)
		if i%2 == 0 {
			cancel()
		}
		v, err := accept(ctx)
		cancel()
		canceller.wait()
		if err == nil {
			return v
		}
		if !errors.Is(err, context.Canceled) || r.ctx.Err() != nil {
			r.fatalf("Accept(ctx that ends meanwhile) = %v, want success in the end", err)
		}
	}
}

func acceptLosesNoConn(r *run) {
	l := r.listen()
	r.obey(rule{"Listener.Accept", onlyThisCall})
	const n = 20
	r.all(func() {
		for range n {
			r.dial(l.Addr())
		}
	}, func() {
		for range n {
			impatient(r, l.Accept)
		}
	})
}

func acceptLosesNoStream(r *run) {
	p := r.pair()
	r.obey(rule{"Conn.AcceptStream", onlyThisCall})
	n := r.streamLimit(200)
	r.all(func() {
		for i := range n {
			r.write(r.openStream(p.dialed), []byte{byte(i)})
		}
	}, func() {
		got := make(map[byte]int)
		for range n {
			s := impatient(r, p.accepted.AcceptStream)
			var b [1]byte
			if _, err := s.Read(b[:]); err != nil {
				r.fatalf("Read() = %v, want nil", err)
			}
			got[b[0]]++
		}
		for i := range n {
			if got[byte(i)] != 1 {
				r.fatalf("the stream that carries %d was accepted %d times, want once", i, got[byte(i)])
			}
		}
	})
}

func listenerCloseUnblocks(r *run) {
	l := r.listen()
	r.obey(rule{"Listener.Accept", "After Close, and once the Transport is closed, Accept fails with [ErrClosed]"})
	accept := func() {
		_, err := l.Accept(r.ctx)
		r.expectClosed("Accept() after Listener.Close", err)
	}
	blocked := r.start(accept)
	r.letBlock()
	r.each(4, func(int) {
		if err := l.Close(); err != nil {
			r.fatalf("Close() = %v, want nil", err)
		}
	})
	blocked.wait()
	accept()
}

// expectClosed checks that err matches ErrClosed, and what that matches.
func (r *run) expectClosed(what string, err error) {
	if !errors.Is(err, transport.ErrClosed) || !errors.Is(err, net.ErrClosed) {
		r.fatalf("%s = %v, want one that matches transport.ErrClosed and net.ErrClosed", what, err)
	}
}

func listenerCloseSparesAccepted(r *run) {
	l := r.listen()
	p := r.connect(l)
	r.obey(rule{"Listener.Close", "Connections that were accepted live on"})
	near, far := r.stream(p.dialed, p.accepted)
	if err := l.Close(); err != nil {
		r.fatalf("Close() = %v, want nil", err)
	}
	r.all(
		func() { r.send(near, 1, 100_000); r.closeWrite(near) },
		func() { r.receive(far, 1, 100_000); r.closeWrite(far) },
	)
	r.expectEOF(near)
	for _, side := range p.sides() {
		near, far := r.stream(side.from, side.to)
		r.finishStream(near, far)
	}
	if err := context.Cause(p.accepted.Context()); err != nil {
		r.fatalf("the accepted connection ended with %v", err)
	}
}

func listenerCloseEndsUnaccepted(r *run) {
	l := r.listen()
	r.obey(rule{"Listener.Close", "those nobody accepted yet are closed"})
	const n = 8
	dialed := make(chan transport.Conn, n)
	dials := r.start(func() {
		defer close(dialed)
		r.each(n, func(int) {
			// A dial that the close comes before may fail.
			if c, err := r.Dialer.Dial(r.ctx, l.Addr()); err == nil {
				dialed <- c // has room for all
			}
		})
	})
	// Some transports let Dial return only once somebody accepts: for those
	// this is a test of dials that a closing listener must not leave hanging.
	timeout, stop := after(stall)
	defer stop()
	var conns []transport.Conn
	select {
	case c := <-dialed:
		conns = append(conns, c)
	case <-timeout:
	}
	if err := l.Close(); err != nil {
		r.fatalf("Close() = %v, want nil", err)
	}
	for c := range dialed {
		conns = append(conns, c)
	}
	for _, c := range conns {
		r.awaitEnd(c)
	}
	dials.wait()
}
