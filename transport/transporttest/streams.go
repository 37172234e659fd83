package transporttest

import (
	"errors"
	"io"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var streamCases = []testCase{
	{"SeenOnFirstByte", seenOnFirstByte},
	{"SeenOnHalfClose", seenOnHalfClose},
	{"SeenOnReset", seenOnReset},
	{"OpenedByBothAtOnce", openedByBoth},
	{"HalfCloseOpenerFirst", halfCloseOpenerFirst},
	{"HalfCloseAcceptorFirst", halfCloseAcceptorFirst},
	{"AnswerBeforeRequestEnds", answerBeforeRequestEnds},
	{"EmptyWrite", emptyWrite},
	{"WriteAfterCloseWrite", writeAfterCloseWrite},
	{"CloseWriteDuringWrite", closeWriteDuringWrite},
	{"WriteLast", writeLast},
}

const seen = "a byte, a half-close, a reset."

func seenOnFirstByte(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Conn.OpenStream", seen})
		near := r.openStream(side.from)
		r.write(near, []byte{'?'})
		far := r.acceptStream(side.to)
		r.expect(far, []byte{'?'})
		r.obey(rule{"Conn", "both of which open and accept streams"})
		r.write(far, []byte{'!'})
		r.expect(near, []byte{'!'})
		r.finishStream(near, far)
	}
}

func seenOnHalfClose(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Conn.OpenStream", seen})
		near := r.openStream(side.from)
		r.closeWrite(near)
		far := r.acceptStream(side.to)
		r.expectEOF(far)
		r.write(far, []byte("answer to nothing"))
		r.closeWrite(far)
		r.expect(near, []byte("answer to nothing"))
		r.expectEOF(near)
		r.close(near)
		r.close(far)
	}
}

func seenOnReset(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Conn.OpenStream", seen})
		r.openStream(side.from).Reset(kith.Aborted)
		far := r.acceptStream(side.to)
		_, err := far.Read(make([]byte, 1))
		r.expectReset("Read() after a Reset at the other side", err, kith.Aborted)
		r.close(far)
	}
}

// expectReset checks that err says that the other side reset the stream.
func (r *run) expectReset(what string, err error, code kith.Code) {
	var reset *transport.StreamError
	if !errors.As(err, &reset) {
		r.fatalf("%s = %v, want a *StreamError", what, err)
	}
	if reset.Code != code || !reset.Remote {
		r.fatalf("%s = %+v, want Code %v and Remote true", what, *reset, code)
	}
}

// openedByBoth opens streams from both ends at once and answers each.
func openedByBoth(r *run) {
	p := r.pair()
	r.obey(rule{"Conn", "both of which open and accept streams"})
	n := r.streamLimit(100)
	ask := func(from transport.Conn, name string) func() {
		return func() {
			r.each(n, func(i int) {
				s := r.openStream(from)
				r.write(s, []byte(name))
				r.closeWrite(s)
				r.expect(s, []byte("to "+name))
				r.expectEOF(s)
				r.close(s)
			})
		}
	}
	answer := func(at transport.Conn, name string) func() {
		return func() {
			for range n {
				s := r.acceptStream(at)
				r.expect(s, []byte(name))
				r.expectEOF(s)
				r.write(s, []byte("to "+name))
				r.closeWrite(s)
				r.close(s)
			}
		}
	}
	r.all(ask(p.dialed, "one"), answer(p.accepted, "one"), ask(p.accepted, "two"), answer(p.dialed, "two"))
}

func halfCloseOpenerFirst(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.CloseWrite", "the other side reads what was written, then io.EOF."})
		near, far := r.stream(side.from, side.to)
		n := r.scale(100_000)
		r.all(func() {
			r.send(near, 1, n)
			r.closeWrite(near)
			r.closeWrite(near)
			r.receive(near, 2, n)
		}, func() {
			r.receive(far, 1, n)
			r.send(far, 2, n)
			r.closeWrite(far)
		})
		r.close(near)
		r.close(far)
	}
}

// halfCloseAcceptorFirst ends the answer before the request, both in full.
func halfCloseAcceptorFirst(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.CloseWrite", "the other side reads what was written, then io.EOF."})
		near, far := r.stream(side.from, side.to)
		n := r.scale(100_000)
		r.all(func() {
			r.receive(near, 2, n)
			r.send(near, 1, n)
			r.closeWrite(near)
		}, func() {
			r.send(far, 2, n)
			r.closeWrite(far)
			r.receive(far, 1, n)
		})
		r.close(near)
		r.close(far)
	}
}

// answerBeforeRequestEnds is the call that a server answers, and is done with,
// before it has read the request to its end.
func answerBeforeRequestEnds(r *run) {
	p := r.pair()
	r.obey(rule{"Stream.Close", "After CloseWrite nothing that was written is lost"})
	for _, side := range p.sides() {
		for i := range r.scale(300) {
			near, far := r.stream(side.from, side.to)
			n := []int{1, 100, 20_000}[i%3]
			r.all(func() {
				r.send(far, pattern(i), n)
				r.closeWrite(far)
				r.close(far)
				// Only now the rest of the request goes out, and may fail.
				_, _ = near.Write(make([]byte, 1000))
				_ = near.CloseWrite()
			}, func() {
				r.receive(near, pattern(i), n)
			})
			r.close(near)
		}
	}
}

func emptyWrite(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream", "is one ordered, flow-controlled byte stream"})
		near, far := r.stream(side.from, side.to)
		for _, b := range [][]byte{nil, {}} {
			if n, err := near.Write(b); n != 0 || err != nil {
				r.fatalf("Write(%#v) = %d, %v, want 0, nil", b, n, err)
			}
		}
		r.write(near, []byte("on"))
		r.expect(far, []byte("on"))
		r.finishStream(near, far)
	}
}

func writeAfterCloseWrite(r *run) {
	p := r.pair()
	r.obey(rule{"Stream.CloseWrite", "the other side reads what was written, then io.EOF."})
	near, far := r.stream(p.dialed, p.accepted)
	r.closeWrite(near)
	if n, err := near.Write([]byte("more")); err == nil {
		r.fatalf("Write() after CloseWrite = %d, nil, want an error", n)
	}
	r.expectEOF(far)
	if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		r.fatalf("Read() after io.EOF = %d, %v, want 0, io.EOF again", n, err)
	}
}

// closeWriteDuringWrite half-closes under a Write that is blocked. Whether
// that still goes through is open; that both agree on how much did is not.
func closeWriteDuringWrite(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.CloseWrite", "does not wait for the other side"})
		near, far := r.stream(side.from, side.to)
		var n int64
		writer := r.start(func() {
			b := make([]byte, 256<<10)
			for err := error(nil); err == nil; {
				var k int
				pattern(1).fill(b, n)
				k, err = near.Write(b)
				scribble(b)
				n += int64(k)
			}
		})
		r.letBlock()
		r.closeWrite(near)
		r.obey(rule{"Stream.CloseWrite", "the other side reads what was written, then io.EOF."})
		got, err := r.drain(far, 1, 0)
		writer.wait()
		if err != io.EOF || got != n {
			r.fatalf("Read() = %v after %d bytes, want io.EOF after %d, which Write said were written", err, got, n)
		}
		r.close(near)
		r.close(far)
	}
}

func writeLast(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		for i, n := range []int{0, 1, 16 << 10, r.scale(1 << 20)} {
			r.obey(rule{"WriteLast", "writes p to s and half-closes it"})
			near, far := r.stream(side.from, side.to)
			data := pattern(i).bytes(n)
			r.all(func() {
				if err := transport.WriteLast(near, data); err != nil {
					r.fatalf("WriteLast(%d bytes) = %v, want nil", n, err)
				}
				r.obey(rule{"WriteLast", "It does not keep p."})
				scribble(data)
				if k, err := near.Write([]byte("more")); err == nil {
					r.fatalf("Write() after WriteLast = %d, nil, want an error", k)
				}
				r.close(near)
			}, func() {
				r.receive(far, pattern(i), n)
			})
			r.close(far)
		}
	}
}
