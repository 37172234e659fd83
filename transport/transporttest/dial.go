package transporttest

import (
	"context"
	"errors"
	"time"

	"github.com/kith-go/kith/transport"
)

var dialCases = []testCase{
	{"CtxEndsOnlyTheAttempt", ctxEndsOnlyTheAttempt},
	{"CtxEndedBefore", dialCtxEndedBefore},
	{"CtxEndsDuring", dialCtxEndsDuring},
	{"CtxEndsWhileNobodyAnswers", dialSilence},
	{"Nobody", dialNobody},
	{"ManyAtOnce", dialManyAtOnce},
}

// ctxEndsOnlyTheAttempt ends the ctx of every call once it has returned.
func ctxEndsOnlyTheAttempt(r *run) {
	r.obey(rule{"Transport.Listen", "The end of ctx ends only the set-up."})
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	l, err := r.Listener.Listen(ctx, r.Addr)
	if err != nil {
		r.fatalf("Listen(%v) = %v, want nil", r.Addr, err)
	}
	cancel()
	r.connect(l)

	r.obey(rule{"Transport.Dial", "The end of ctx ends only the attempt"})
	var p pair
	r.all(func() {
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		if p.dialed, err = r.Dialer.Dial(ctx, l.Addr()); err != nil {
			r.fatalf("Dial(%v) = %v, want nil", l.Addr(), err)
		}
	}, func() {
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		var err error
		if p.accepted, err = l.Accept(ctx); err != nil {
			r.fatalf("Accept() = %v, want nil", err)
		}
	})
	r.letBlock()
	for _, side := range p.sides() {
		ctx, cancel := context.WithCancel(r.ctx)
		near, err := side.from.OpenStream(ctx)
		cancel()
		if err != nil {
			r.fatalf("OpenStream() = %v, want nil", err)
		}
		r.write(near, []byte("late"))
		ctx, cancel = context.WithCancel(r.ctx)
		far, err := side.to.AcceptStream(ctx)
		cancel()
		if err != nil {
			r.fatalf("AcceptStream() = %v, want nil", err)
		}
		r.expect(far, []byte("late"))
		r.finishStream(near, far)
	}
}

func dialCtxEndedBefore(r *run) {
	l := r.listen()
	r.obey(rule{"Transport.Dial", "with an error that matches ctx.Err()"})
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := r.Dialer.Dial(ctx, l.Addr()); !errors.Is(err, context.Canceled) {
		r.fatalf("Dial(ctx that has ended) = %v, want context.Canceled", err)
	}
	r.connect(l)
}

// dialCtxEndsDuring ends the ctx at different moments of the set-up. Either
// end of a connection that comes about all the same must be whole.
func dialCtxEndsDuring(r *run) {
	l := r.listen()
	r.serve(l)
	r.obey(rule{"Transport.Dial", "The end of ctx ends only the attempt, with an error that matches ctx.Err()"})
	const steps = 40
	for i := range steps {
		ctx, cancel := context.WithTimeout(r.ctx, time.Duration(i)*200*time.Microsecond)
		c, err := r.Dialer.Dial(ctx, l.Addr())
		cancel()
		switch {
		case err == nil:
			r.echo(r.openStream(c), pattern(i), 100)
			c.CloseWithError(0, "done")
		case !errors.Is(err, context.DeadlineExceeded):
			r.fatalf("Dial(ctx that ends meanwhile) = %v, want context.DeadlineExceeded", err)
		}
	}
	r.echo(r.openStream(r.dial(l.Addr())), 1, 1000)
}

func dialSilence(r *run) {
	if r.Silent == (transport.Addr{}) {
		r.skip("Setup.Silent is not set")
	}
	r.obey(rule{"Transport.Dial", "The end of ctx ends only the attempt, with an error that matches ctx.Err()"})
	a := r.silentAddr()
	ctx, cancel := context.WithTimeout(r.ctx, stall)
	defer cancel()
	if _, err := r.Dialer.Dial(ctx, a); !errors.Is(err, context.DeadlineExceeded) {
		r.fatalf("Dial(an address that does not answer) = %v, want context.DeadlineExceeded", err)
	}
	ctx, cancel = context.WithCancel(r.ctx)
	dial := r.start(func() {
		if _, err := r.Dialer.Dial(ctx, a); !errors.Is(err, context.Canceled) {
			r.fatalf("Dial(an address that does not answer) = %v, want context.Canceled", err)
		}
	})
	r.letBlock()
	cancel()
	dial.wait()
}

// silentAddr is Setup.Silent with an ID, so that it can be dialled.
func (r *run) silentAddr() transport.Addr {
	a := r.Silent
	if a.ID.IsZero() {
		a.ID = r.listen().Addr().ID
	}
	return a
}

func dialNobody(r *run) {
	l := r.listen()
	r.obey(rule{"Listener.Close", "stops accepting"})
	if err := l.Close(); err != nil {
		r.fatalf("Close() = %v, want nil", err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	if _, err := r.Dialer.Dial(ctx, l.Addr()); err == nil {
		r.fatalf("Dial(the address of a closed listener) = nil, want an error")
	}
}

func dialManyAtOnce(r *run) {
	l := r.listen()
	r.serve(l)
	r.obey(rule{"Transport", "Its methods may be called at once from any number of goroutines."})
	r.each(32, func(i int) {
		c := r.dial(l.Addr())
		r.echo(r.openStream(c), pattern(i), 10_000)
		if err := c.CloseWithError(0, "done"); err != nil {
			r.fatalf("CloseWithError() = %v, want nil", err)
		}
	})
}
