package transporttest

import (
	"math"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var resetCases = []testCase{
	{"CodeReachesBothDirections", resetCodes},
	{"EndsOwnSide", resetEndsOwnSide},
	{"UnblocksTheOtherSide", resetUnblocksRemote},
	{"AfterHalfClose", resetAfterHalfClose},
	{"AfterCloseDoesNothing", resetAfterClose},
	{"BothSidesAtOnce", resetBothSides},
}

// writeUntil writes to s until that fails, and returns the error. What it
// writes continues p at off.
func writeUntil(s transport.Stream, p pattern, off int64) error {
	buf := make([]byte, 16<<10)
	for {
		p.fill(buf, off)
		n, err := s.Write(buf)
		scribble(buf)
		if off += int64(n); err != nil {
			return err
		}
	}
}

// resetCodes resets from either end with all kinds of codes.
func resetCodes(r *run) {
	p := r.pair()
	codes := []kith.Code{4242, math.MaxUint32}
	for c := kith.Canceled; c.Known(); c++ {
		codes = append(codes, c)
	}
	for _, side := range p.sides() {
		for i, code := range codes {
			r.obey(rule{"Stream.Reset", "the other side sees a [*StreamError] with code and Remote set"})
			resetter, other := r.stream(side.from, side.to)
			if i%2 == 1 {
				resetter, other = other, resetter
			}
			r.write(resetter, pattern(7).bytes(1000))
			resetter.Reset(code)
			_, err := r.drain(other, 7, 0)
			r.expectReset("Read() after a Reset at the other side", err, code)
			r.expectReset("Write() after a Reset at the other side", writeUntil(other, 8, 0), code)
			r.close(other)
		}
	}
}

func resetEndsOwnSide(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"ErrClosed", "is matched by every operation on a stream, connection, listener or transport that is closed"})
		near, far := r.stream(side.from, side.to)
		r.write(far, pattern(0).bytes(100))
		reader := r.start(func() {
			_, err := r.drain(near, pattern(0), 0)
			r.expectClosed("Read() after Reset", err)
		})
		r.letBlock()
		near.Reset(kith.Aborted)
		near.Reset(kith.Internal)
		reader.wait()
		_, err := near.Write([]byte("more"))
		r.expectClosed("Write() after Reset", err)
		r.obey(rule{"Stream.Reset", "After Close or Reset it does nothing."})
		_, err = far.Read(make([]byte, 1))
		r.expectReset("Read() after two Resets at the other side", err, kith.Aborted)
		r.close(near)
		r.close(far)
	}
}

// resetUnblocksRemote resets under a Read and a Write of the other side.
func resetUnblocksRemote(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Reset", "the other side sees a [*StreamError] with code and Remote set"})
		near, far := r.stream(side.from, side.to)
		r.fill(far, 3, 16<<10)
		reader := r.start(func() {
			_, err := r.drain(far, 4, 0)
			r.expectReset("Read() blocked at a Reset at the other side", err, kith.OutOfRange)
		})
		writer := r.start(func() {
			r.expectReset("Write() blocked at a Reset at the other side", writeUntil(far, 3, 0), kith.OutOfRange)
		})
		r.letBlock()
		near.Reset(kith.OutOfRange)
		reader.wait()
		writer.wait()
		r.close(far)
	}
}

// resetAfterHalfClose refuses an answer when the request has been sent, and
// a request when the answer has.
func resetAfterHalfClose(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Write", "After the other side stopped reading (by Reset, or by Close before it read all) it fails with a [*StreamError]"})
		near, far := r.stream(side.from, side.to)
		r.closeWrite(near)
		r.expectEOF(far)
		near.Reset(kith.NotFound)
		r.expectReset("Write() after the other side half-closed and reset", writeUntil(far, 1, 0), kith.NotFound)
		r.close(far)

		r.obey(rule{"Stream.Read", "After a Reset by the other side it fails with a [*StreamError]"})
		near, far = r.stream(side.from, side.to)
		r.closeWrite(near)
		r.expectEOF(far)
		far.Reset(kith.NotFound)
		_, err := r.drain(near, 1, 0)
		r.expectReset("Read() after the other side reset what was half-closed here", err, kith.NotFound)
		r.close(near)
	}
}

func resetAfterClose(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Reset", "After Close or Reset it does nothing."})
		for i := range 50 {
			near, far := r.stream(side.from, side.to)
			r.write(near, pattern(i).bytes(2000))
			r.closeWrite(near)
			r.close(near)
			near.Reset(kith.Internal)
			r.receive(far, pattern(i), 2000)
			r.close(far)
		}
	}
}

// resetBothSides must end both whoever comes first.
func resetBothSides(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Reset", "aborts both directions"})
		for range 20 {
			near, far := r.stream(side.from, side.to)
			r.all(
				func() { near.Reset(kith.Aborted) },
				func() { far.Reset(kith.Internal) },
			)
			for _, s := range []transport.Stream{near, far} {
				if n, err := s.Read(make([]byte, 1)); err == nil {
					r.fatalf("Read() after Reset = %d, nil, want an error", n)
				}
				if n, err := s.Write([]byte{1}); err == nil {
					r.fatalf("Write() after Reset = %d, nil, want an error", n)
				}
				r.close(s)
			}
		}
	}
}
