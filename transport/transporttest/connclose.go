package transporttest

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var connCloseCases = []testCase{
	{"CodeAndReason", connCodeAndReason},
	{"EndsEverything", connCloseEndsEverything},
	{"UnderTraffic", connCloseUnderTraffic},
	{"FirstCallDecides", connFirstCloseDecides},
	{"BothEndsAtOnce", connCloseBothEnds},
	{"ReasonIsCut", connReasonIsCut},
	{"TruncationIsNotEOF", truncationIsNotEOF},
	{"CutLinkIsNotEOF", cutIsNotEOF},
}

// expectRemote checks that err is a StreamError made by the other side.
func (r *run) expectRemote(what string, err error) {
	var reset *transport.StreamError
	if !errors.As(err, &reset) || !reset.Remote {
		r.fatalf("%s = %v, want a *StreamError with Remote true", what, err)
	}
}

// expectConnErr checks that err says how the connection ended.
func (r *run) expectConnErr(what string, err error, want transport.ConnError) {
	var got *transport.ConnError
	if !errors.As(err, &got) {
		r.fatalf("%s = %v, want a *ConnError", what, err)
	}
	if got.Code != want.Code || got.Reason != want.Reason || got.Remote != want.Remote {
		r.fatalf("%s = ConnError{Code: %v, Reason: %q, Remote: %v}, want {Code: %v, Reason: %q, Remote: %v}",
			what, got.Code, got.Reason, got.Remote, want.Code, want.Reason, want.Remote)
	}
	r.expectClosed(what, err)
}

// ends returns the errors to expect at the closing and at the other end.
func ends(code kith.Code, reason string) (here, there transport.ConnError) {
	return transport.ConnError{Code: code, Reason: reason}, transport.ConnError{Code: code, Reason: reason, Remote: true}
}

// awaitEnd waits until c's context ends.
func (r *run) awaitEnd(c transport.Conn) {
	select {
	case <-c.Context().Done():
	case <-r.ctx.Done():
		r.fatalf("Context() has not ended after %v", r.Timeout)
	}
}

func (r *run) closeConn(c transport.Conn, code kith.Code, reason string) {
	if err := c.CloseWithError(code, reason); err != nil {
		r.fatalf("CloseWithError(%v, %q) = %v, want nil", code, reason, err)
	}
}

func connCodeAndReason(r *run) {
	l := r.listen()
	for i, c := range []struct {
		code   kith.Code
		reason string
	}{
		{kith.OK, ""},
		{kith.Unavailable, "going away"},
		{kith.PermissionDenied, ""},
		{kith.Unauthenticated, "quote \" newline \n é 世界 NUL \x00"},
		{4242, strings.Repeat("x", transport.MaxReason)},
	} {
		p := r.connect(l)
		closer, other := p.dialed, p.accepted
		if i%2 == 1 {
			closer, other = other, closer
		}
		here, there := ends(c.code, c.reason)
		r.closeConn(closer, c.code, c.reason)
		r.obey(rule{"Conn.Context", "Its cause is a [*ConnError]."})
		select {
		case <-closer.Context().Done():
		default:
			r.fatalf("Context() has not ended when CloseWithError returns")
		}
		r.expectConnErr("Context's cause where closed", context.Cause(closer.Context()), here)
		r.obey(rule{"Conn.CloseWithError", "ends the connection, telling the other side code and reason"})
		r.awaitEnd(other)
		r.expectConnErr("Context's cause at the other end", context.Cause(other.Context()), there)
		r.closeConn(other, kith.Internal, "late")
	}
}

// connCloseEndsEverything has every kind of call blocked on both ends, and
// tries each once more when the connection is over.
func connCloseEndsEverything(r *run) {
	l := r.listen()
	for i := range 2 {
		p := r.connect(l)
		side := p.sides()[i]
		here, there := ends(kith.Aborted, "enough")
		r.obey(rule{"ConnError", "in the chain of every error of its streams from then on"})
		near, far := r.stream(side.from, side.to)
		r.fill(near, 1, 16<<10)
		r.fill(far, 2, 16<<10)
		nearIdle, farIdle := r.stream(side.from, side.to)
		var blocked []*task
		for _, f := range append(r.callsThatEnd("at CloseWithError, here: ", side.from, near, nearIdle, here),
			r.callsThatEnd("at CloseWithError, at the other end: ", side.to, far, farIdle, there)...) {
			blocked = append(blocked, r.start(f))
		}
		r.letBlock()
		r.closeConn(side.from, here.Code, here.Reason)
		for _, t := range blocked {
			t.wait()
		}
		r.awaitEnd(side.to)
		r.all(r.callsThatEnd("after CloseWithError, here: ", side.from, near, nearIdle, here)...)
		r.all(r.callsThatEnd("after CloseWithError, at the other end: ", side.to, far, farIdle, there)...)
		for _, s := range []transport.Stream{near, far, nearIdle, farIdle} {
			s.Reset(kith.Internal)
			s.Close()
		}
		r.closeConn(side.to, kith.Internal, "late")
	}
}

// callsThatEnd returns calls that can only end with the connection c. full is
// a stream that has no room to write, idle one with nothing to read.
func (r *run) callsThatEnd(when string, c transport.Conn, full, idle transport.Stream, want transport.ConnError) []func() {
	return []func(){
		func() {
			_, err := idle.Read(make([]byte, 10))
			r.expectConnErr(when+"Read()", err, want)
		},
		func() { r.expectConnErr(when+"Write()", writeUntil(full, 9, 0), want) },
		func() {
			for { // it may return what OpenStream below opens at the other end
				if _, err := c.AcceptStream(r.ctx); err != nil {
					r.expectConnErr(when+"AcceptStream()", err, want)
					return
				}
			}
		},
		func() {
			for {
				if _, err := c.OpenStream(r.ctx); err != nil {
					r.expectConnErr(when+"OpenStream()", err, want)
					return
				}
				if r.MaxStreams < 0 { // it would not block
					r.awaitEnd(c)
				}
			}
		},
	}
}

// connCloseUnderTraffic closes while both ends write as fast as they can.
func connCloseUnderTraffic(r *run) {
	l := r.listen()
	for i := range 6 {
		p := r.connect(l)
		side := p.sides()[i%2]
		here, there := ends(kith.ResourceExhausted, "too much")
		r.obey(rule{"Conn.CloseWithError", "It unblocks everything at once"})
		near, far := r.stream(side.from, side.to)
		begun := make(chan struct{})
		r.all(
			func() { r.expectConnErr("Write() here", writeUntil(near, 1, 0), here) },
			func() { r.expectConnErr("Write() at the other end", writeUntil(far, 2, 0), there) },
			func() {
				_, err := r.drain(near, 2, 0)
				r.expectConnErr("Read() here", err, here)
			},
			func() {
				r.receiveFrom(far, 1, 0, 1000)
				close(begun)
				_, err := r.drain(far, 1, 1000)
				r.expectConnErr("Read() at the other end", err, there)
			},
			func() {
				<-begun
				r.closeConn(side.from, here.Code, here.Reason)
			},
		)
		r.closeConn(side.to, kith.OK, "")
	}
}

func connFirstCloseDecides(r *run) {
	p := r.pair()
	r.obey(rule{"Conn.CloseWithError", "The first call decides, and later ones do nothing."})
	here, there := ends(kith.NotFound, "first")
	r.closeConn(p.accepted, here.Code, here.Reason)
	r.each(4, func(int) { r.closeConn(p.accepted, kith.Internal, "second") })
	r.awaitEnd(p.dialed)
	r.closeConn(p.dialed, kith.Internal, "third")
	r.expectConnErr("Context's cause where closed", context.Cause(p.accepted.Context()), here)
	r.expectConnErr("Context's cause at the other end", context.Cause(p.dialed.Context()), there)
}

func connCloseBothEnds(r *run) {
	l := r.listen()
	r.obey(rule{"Conn.CloseWithError", "does not wait for the other side"})
	for range 10 {
		p := r.connect(l)
		r.all(
			func() { r.closeConn(p.dialed, kith.Canceled, "dialed") },
			func() { r.closeConn(p.accepted, kith.Aborted, "accepted") },
		)
		for _, c := range []transport.Conn{p.dialed, p.accepted} {
			r.expectClosed("Context's cause", context.Cause(c.Context()))
		}
	}
}

func connReasonIsCut(r *run) {
	p := r.pair()
	r.obey(rule{"Conn.CloseWithError", "(cut at [MaxReason] bytes)"})
	long := strings.Repeat("0123456789", 100_000)
	r.closeConn(p.dialed, kith.Internal, long)
	r.awaitEnd(p.accepted)
	end := transport.ConnErr(p.accepted.Context())
	if end == nil || end.Reason != long[:transport.MaxReason] {
		r.fatalf("the other end's reason is %.300q, want the first %d bytes of %.20q...", end, transport.MaxReason, long)
	}
}

// truncationIsNotEOF ends connections with streams half sent: by either end,
// and at all kinds of moments.
func truncationIsNotEOF(r *run) {
	l := r.listen()
	r.obey(rule{"Stream.Read", "returns io.EOF only after the other side's CloseWrite, never on truncation"})
	for i := range 60 {
		p := r.connect(l)
		side := p.sides()[i%2]
		near, far := r.stream(side.from, side.to)
		n := i * 400
		r.all(func() {
			_, _ = near.Write(pattern(i).bytes(n)) // fails where the close overtakes it
			closer := []transport.Conn{side.from, side.to}[i/2%2]
			r.closeConn(closer, kith.OK, "")
		}, func() {
			got, err := r.drain(far, pattern(i), 0)
			if err == io.EOF {
				r.fatalf("Read() = io.EOF after %d bytes, on a connection closed before CloseWrite", got)
			}
			r.expectClosed("Read() after the connection was closed", err)
		})
		r.hangUp(p)
	}
}

func cutIsNotEOF(r *run) {
	if r.Cut == nil {
		r.skip("Setup.Cut is not set")
	}
	p := r.pair()
	near, far := r.stream(p.dialed, p.accepted)
	r.write(near, pattern(1).bytes(1000))
	r.receiveFrom(far, 1, 0, 1000)
	r.Cut()
	for _, s := range []transport.Stream{near, far} {
		r.obey(rule{"Stream.Read", "returns io.EOF only after the other side's CloseWrite, never on truncation"})
		_, err := r.drain(s, 2, 0)
		if err == io.EOF {
			r.fatalf("Read() = io.EOF, on a link that was cut before CloseWrite")
		}
		r.obey(rule{"ConnError", "where the link failed, [kith.Unavailable] and no reason"})
		r.expectConnErr("Read() after the link was cut", err, transport.ConnError{Code: kith.Unavailable})
	}
	for _, c := range []transport.Conn{p.dialed, p.accepted} {
		r.awaitEnd(c)
		r.expectConnErr("Context's cause after the link was cut", context.Cause(c.Context()), transport.ConnError{Code: kith.Unavailable})
	}
}
