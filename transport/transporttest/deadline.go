package transporttest

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/kith-go/kith/transport"
)

var deadlineCases = []testCase{
	{"ReadPast", readDeadlinePast},
	{"ReadFuture", readDeadlineFuture},
	{"ReadSetMeanwhile", readDeadlineMeanwhile},
	{"ReadCleared", readDeadlineCleared},
	{"ReadLosesNothing", readDeadlineLosesNothing},
	{"WriteFuture", writeDeadlineFuture},
	{"WriteSetMeanwhile", writeDeadlineMeanwhile},
	{"WriteLosesNothing", writeDeadlineLosesNothing},
	{"OfOneSideOnly", deadlineOfOneSide},
}

const readDeadline = "fail with an error matching os.ErrDeadlineExceeded; the stream stays usable."

// past is a deadline that is over whatever the clock does.
func past() time.Time { return time.Now().Add(-time.Hour) }

func soon() time.Time { return time.Now().Add(stall / 4) }

// anyTime is a deadline that is over, or will be before long.
func anyTime(rng *rand.Rand) time.Time {
	if rng.IntN(4) == 0 {
		return past()
	}
	return time.Now().Add(time.Duration(rng.Int64N(300)) * time.Microsecond)
}

func (r *run) readDeadline(s transport.Stream, t time.Time) {
	if err := s.SetReadDeadline(t); err != nil {
		r.fatalf("SetReadDeadline() = %v, want nil", err)
	}
}

func (r *run) writeDeadline(s transport.Stream, t time.Time) {
	if err := s.SetWriteDeadline(t); err != nil {
		r.fatalf("SetWriteDeadline() = %v, want nil", err)
	}
}

// expectReadTimeout reads from a stream on which nothing is to be read.
func (r *run) expectReadTimeout(s transport.Stream) {
	if n, err := s.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		r.fatalf("Read() = %d, %v, want 0, os.ErrDeadlineExceeded", n, err)
	}
}

// expectUsable passes data both ways over a stream and ends it.
func (r *run) expectUsable(near, far transport.Stream) {
	const n = 1000
	r.all(
		func() { r.send(near, 11, n); r.closeWrite(near) },
		func() { r.receive(far, 11, n) },
		func() { r.send(far, 12, n); r.closeWrite(far) },
		func() { r.receive(near, 12, n) },
	)
	r.close(near)
	r.close(far)
}

func readDeadlinePast(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetReadDeadline", readDeadline})
		near, far := r.stream(side.from, side.to)
		r.readDeadline(near, past())
		r.expectReadTimeout(near)
		r.expectReadTimeout(near)
		r.obey(rule{"Stream.SetReadDeadline", "The zero time means never."})
		r.readDeadline(near, time.Time{})
		r.expectUsable(near, far)
	}
}

func readDeadlineFuture(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetReadDeadline", readDeadline})
		near, far := r.stream(side.from, side.to)
		end := soon()
		r.readDeadline(far, end)
		r.expectReadTimeout(far)
		if left := time.Until(end); left > 0 {
			r.fatalf("Read() failed %v before its deadline", left)
		}
		r.readDeadline(far, time.Time{})
		r.expectUsable(near, far)
	}
}

// readDeadlineMeanwhile sets a deadline under a Read that began without one.
func readDeadlineMeanwhile(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetReadDeadline", "makes a Read that is blocked at t, now or later"})
		for i, t := range []func() time.Time{past, soon, past, past} {
			near, far := r.stream(side.from, side.to)
			reader := r.start(func() { r.expectReadTimeout(near) })
			if i < 2 { // the others race with a Read that begins
				r.letBlock()
			}
			r.readDeadline(near, t())
			reader.wait()
			r.readDeadline(near, time.Time{})
			r.expectUsable(near, far)
		}
	}
}

// readDeadlineCleared takes deadlines back before they come. The deadline of
// another stream tells when they would have.
func readDeadlineCleared(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetReadDeadline", "The zero time means never."})
		near, far := r.stream(side.from, side.to)
		clock, _ := r.stream(side.from, side.to)
		end := soon()
		r.readDeadline(near, end)
		r.readDeadline(far, end)
		r.writeDeadline(near, end)
		r.writeDeadline(far, end)
		reader := r.start(func() { r.expect(near, []byte("at last")) })
		r.readDeadline(near, time.Time{})
		r.readDeadline(far, end.Add(time.Hour))
		r.writeDeadline(near, time.Time{})
		r.writeDeadline(far, end.Add(time.Hour))
		r.readDeadline(clock, end.Add(stall/10))
		r.expectReadTimeout(clock)
		r.write(far, []byte("at last"))
		reader.wait()
		r.expectUsable(near, far)
	}
}

// readDeadlineLosesNothing reads with deadlines that come all the time.
func readDeadlineLosesNothing(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetReadDeadline", readDeadline})
		near, far := r.stream(side.from, side.to)
		const n = 30_000
		rng := rand.New(rand.NewPCG(3, 4))
		writer := r.start(func() {
			buf := make([]byte, 100)
			for off := 0; off < n; off += len(buf) {
				pattern(1).fill(buf, int64(off))
				r.write(near, buf)
			}
			r.closeWrite(near)
		})
		buf := make([]byte, 1000)
		var off int64
		for err := error(nil); err != io.EOF; {
			var k int
			r.readDeadline(far, anyTime(rng))
			k, err = far.Read(buf)
			if at := pattern(1).wrong(buf[:k], off); at >= 0 {
				r.fatalf("the byte at %d is not the one written", at)
			}
			off += int64(k)
			if err != nil && err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
				r.fatalf("Read() = %v, want data, io.EOF or os.ErrDeadlineExceeded", err)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) && r.ctx.Err() != nil {
				r.fatalf("only %d of %d bytes came", off, n)
			}
		}
		if off != n {
			r.fatalf("Read() = io.EOF after %d bytes, want %d", off, n)
		}
		writer.wait()
		r.readDeadline(far, time.Time{})
		r.close(near)
		r.close(far)
	}
}

const writeDeadline = "does for Write what SetReadDeadline does for Read."

// writeBlocked writes more than any window holds, to a stream whose deadline
// is set, and returns how much was taken from off on.
func (r *run) writeBlocked(s transport.Stream, p pattern, off int64) int64 {
	buf := make([]byte, 256<<10)
	for n := int64(0); ; {
		p.fill(buf, off+n)
		k, err := s.Write(buf)
		scribble(buf)
		n += int64(k)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		}
		if err != nil {
			r.fatalf("Write() blocked at its deadline = %v, want os.ErrDeadlineExceeded", err)
		}
		if limit := r.maxBuffered(); limit > 0 && n > limit {
			r.fatalf("Write() took %d bytes that nobody reads, and did not block", n)
		}
	}
}

func writeDeadlineFuture(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetWriteDeadline", writeDeadline})
		near, far := r.stream(side.from, side.to)
		r.writeDeadline(near, soon())
		n := r.writeBlocked(near, 1, 0)
		// The room is used up, so that a deadline in the past is as good.
		r.writeDeadline(near, past())
		n += r.writeBlocked(near, 1, n)
		r.obey(rule{"Stream.SetWriteDeadline", "How much was written is what Write returned."})
		r.writeDeadline(near, time.Time{})
		r.receiveFrom(far, 1, 0, int(n))
		r.expectUsable(near, far)
	}
}

func writeDeadlineMeanwhile(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetWriteDeadline", writeDeadline})
		near, far := r.stream(side.from, side.to)
		n := r.fill(near, 1, 16<<10)
		writer := r.start(func() { n += r.writeBlocked(near, 1, n) })
		r.letBlock()
		r.writeDeadline(near, past())
		writer.wait()
		r.writeDeadline(near, time.Time{})
		r.receiveFrom(far, 1, 0, int(n))
		r.expectUsable(near, far)
	}
}

// writeDeadlineLosesNothing writes with deadlines that come all the time, to
// a reader that is slow to begin.
func writeDeadlineLosesNothing(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetWriteDeadline", "How much was written is what Write returned."})
		near, far := r.stream(side.from, side.to)
		r.writeDeadline(near, soon())
		off := r.writeBlocked(near, 1, 0)
		end := off + int64(r.scale(1<<20))
		rng := rand.New(rand.NewPCG(5, 6))
		r.all(func() {
			buf := make([]byte, 20_000)
			for off < end {
				b := buf[:min(int64(len(buf)), end-off)]
				pattern(1).fill(b, off)
				r.writeDeadline(near, anyTime(rng))
				n, err := near.Write(b)
				scribble(b)
				off += int64(n)
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					r.fatalf("Write() with a deadline = %v, want os.ErrDeadlineExceeded", err)
				}
				if err != nil && r.ctx.Err() != nil {
					r.fatalf("only %d of %d bytes went out", off, end)
				}
			}
			r.writeDeadline(near, time.Time{})
			r.closeWrite(near)
		}, func() {
			r.receive(far, 1, int(end))
		})
		r.close(near)
		r.close(far)
	}
}

// deadlineOfOneSide sets each side's deadline and uses the other side.
func deadlineOfOneSide(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.SetWriteDeadline", writeDeadline})
		near, far := r.stream(side.from, side.to)
		r.readDeadline(near, past())
		r.write(near, []byte("out"))
		r.expect(far, []byte("out"))
		r.readDeadline(near, time.Time{})
		r.writeDeadline(near, past())
		r.write(far, []byte("in"))
		r.expect(near, []byte("in"))
		r.writeDeadline(near, time.Time{})
		r.expectUsable(near, far)
	}
}
