package transporttest

import (
	"errors"
	"io"

	"github.com/kith-go/kith/transport/netconn"
)

// pipeGroups lists the cases about a pipe by itself, whose rules are those of
// netconn.Pipe.
var pipeGroups = []group{{name: "Pipe", cases: pipeCases}}

var pipeCases = []testCase{
	{"BothWaysAtOnce", pipeBothWays},
	{"ReadReturnsWhatIsThere", pipeReadReturns},
	{"WriteKeepsNothing", pipeKeepsNothing},
	{"HoldsALittle", pipeHoldsALittle},
	{"DirectionsAreApart", pipeDirections},
	{"CloseUnblocksRead", pipeCloseUnblocksRead},
	{"CloseUnblocksWrite", pipeCloseUnblocksWrite},
	{"CloseEndsTheOtherRead", pipeCloseEndsOtherRead},
	{"CloseEndsTheOtherWrite", pipeCloseEndsOtherWrite},
	{"UseAfterClose", pipeUseAfterClose},
	{"CloseAgain", pipeCloseAgain},
	{"CloseDuringTraffic", pipeCloseDuringTraffic},
	{"ReadDeadline", pipeReadDeadline},
	{"WriteDeadline", pipeWriteDeadline},
	{"HalfClose", pipeHalfClose},
}

func pipeBothWays(r *run) {
	a, b := r.pipe()
	r.obey(rule{"netconn.Pipe", "What is written arrives whole, in order and once. An empty Write changes nothing"})
	sizes := []int{0, 1, 16 << 10, 1 << 20}
	total := 0
	for _, n := range sizes {
		total += n
	}
	more := r.scale(1 << 20)
	write := func(p netconn.Pipe, seed pattern) {
		off := 0
		for _, n := range sizes {
			buf := make([]byte, n)
			seed.fill(buf, int64(off))
			off += n
			if k, err := p.Write(buf); k != n || err != nil {
				r.fatalf("Write(%d bytes) = %d, %v, want %d, nil", n, k, err, n)
			}
		}
		r.send(p, ^seed, more)
	}
	read := func(p netconn.Pipe, seed pattern) {
		r.receiveFrom(p, seed, 0, total)
		r.receiveFrom(p, ^seed, 0, more)
	}
	r.all(
		func() { write(a, 1) }, func() { read(b, 1) },
		func() { write(b, 2) }, func() { read(a, 2) },
	)
}

func pipeReadReturns(r *run) {
	r.pipeWays(func(from, to netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "Read waits only while there is nothing to return. It does not wait until p is full."})
		for _, n := range []int{1, 10, 1000} {
			want := pattern(n)
			r.all(
				func() { r.write(from, want.bytes(n)) },
				func() {
					buf := make([]byte, 64<<10)
					for off := 0; off < n; {
						k, err := to.Read(buf)
						if err != nil || k > n-off || want.wrong(buf[:k], int64(off)) >= 0 {
							r.fatalf("Read() = %d, %v, want what is left of %d bytes written, %d", k, err, n, n-off)
						}
						off += k
					}
				},
			)
		}
	})
}

func pipeKeepsNothing(r *run) {
	r.pipeWays(func(from, to netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "It does not keep p."})
		n := r.scale(1 << 20)
		r.all(
			func() { r.send(from, 1, n) }, // scribbles over what it has written
			func() { r.receiveFrom(to, 1, 0, n) },
		)
	})
}

func pipeHoldsALittle(r *run) {
	r.pipeWays(func(from, to netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "It takes in 4 KiB while nobody reads."})
		r.write(from, pattern(1).bytes(4<<10))
		r.receiveFrom(to, 1, 0, 4<<10)
	})
}

func pipeDirections(r *run) {
	r.pipeWays(func(from, to netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "makes its writer wait, and does not hold up the other direction"})
		stuck := r.stuff(from, 1)
		r.letStuff(stuck)
		n := r.scale(1 << 20)
		r.all(
			func() { r.send(to, 2, n) },
			func() { r.receiveFrom(from, 2, 0, n) },
		)
		r.closePipe(from, to)
		stuck.wait()
	})
}

func pipeCloseUnblocksRead(r *run) {
	r.pipeWays(func(near, _ netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "Close unblocks Read and Write of its own end"})
		reading := r.start(func() { r.expectReadFails(near, "at an end that is being closed") })
		r.letBlock()
		r.closePipe(near)
		reading.wait()
	})
}

func pipeCloseUnblocksWrite(r *run) {
	r.pipeWays(func(near, _ netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "Close unblocks Read and Write of its own end"})
		writing := r.stuff(near, 1)
		r.letStuff(writing)
		r.closePipe(near)
		r.skipEndless(writing)
	})
}

func pipeCloseEndsOtherRead(r *run) {
	r.pipeWays(func(near, far netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "Close ends the other end too: Read there fails, with io.EOF or another error"})
		reading := r.start(func() { r.expectReadFails(far, "when the other end is being closed") })
		r.letBlock()
		r.closePipe(near)
		reading.wait()
		r.expectReadFails(far, "when the other end is closed")
	})
}

func pipeCloseEndsOtherWrite(r *run) {
	r.pipeWays(func(near, far netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "Write fails once the pipe takes in no more"})
		writing := r.stuff(far, 1)
		r.letStuff(writing)
		r.closePipe(near)
		writing.wait()
		again := r.stuff(far, 1)
		if again.wait(); again.err == nil {
			r.fatalf("Write() when the other end is closed took %d bytes, want an error", again.n)
		}
	})
}

func pipeUseAfterClose(r *run) {
	r.pipeWays(func(near, _ netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "makes them fail from then on"})
		r.closePipe(near)
		r.expectReadFails(near, "after Close")
		if n, err := near.Write([]byte("late")); n != 0 || err == nil {
			r.fatalf("Write() after Close = %d, %v, want 0 and an error", n, err)
		}
	})
}

func pipeCloseAgain(r *run) {
	r.pipeWays(func(near, far netconn.Pipe) {
		r.obey(rule{"netconn.Pipe", "It may be called again."})
		r.closePipe(near, near)
		r.closePipe(far)
		r.each(8, func(int) { r.closePipe(near, far) })
	})
}

// pipeCloseDuringTraffic uses all methods at once. It is the case for -race.
func pipeCloseDuringTraffic(r *run) {
	for range r.scale(64) {
		a, b := r.pipe()
		r.obey(rule{"netconn.Pipe", "One goroutine may read while another writes and any number of others call Close."})
		started := make(chan struct{}, 2)
		read := func(p netconn.Pipe, seed pattern) {
			_, err := io.ReadFull(p, make([]byte, 1))
			started <- struct{}{}
			buf := make([]byte, 4<<10)
			for off, n := int64(1), 0; err == nil; off += int64(n) {
				n, err = p.Read(buf)
				if at := seed.wrong(buf[:n], off); at >= 0 {
					r.fatalf("the byte at %d is not the one written", at)
				}
			}
		}
		r.all(
			func() { read(a, 1) }, func() { read(b, 2) },
			func() { r.stuff(a, 2).wait() }, func() { r.stuff(b, 1).wait() },
			func() {
				for range 2 {
					select {
					case <-started:
					case <-r.ctx.Done():
					}
				}
				r.each(4, func(i int) { r.closePipe([]netconn.Pipe{a, b}[i%2]) })
			},
		)
	}
}

func pipeHalfClose(r *run) {
	r.pipeWays(func(near, far netconn.Pipe) {
		half, ok := near.(interface{ CloseWrite() error })
		if !ok {
			r.skip("the pipe has no CloseWrite")
		}
		r.obey(rule{"netconn.Pipe", "CloseWrite half-closes: the other end reads what was written, then io.EOF, and can go on writing."})
		n := r.scale(256 << 10)
		r.all(
			func() {
				r.send(near, 1, n)
				if err := half.CloseWrite(); err != nil {
					if errors.Is(err, errors.ErrUnsupported) {
						r.skip("the pipe has no half-close: CloseWrite() = " + err.Error())
					}
					r.fatalf("CloseWrite() = %v, want nil", err)
				}
			},
			func() { r.receiveFrom(far, 1, 0, n) },
		)
		r.expectEOF(far)
		r.all(
			func() { r.send(far, 2, n) },
			func() { r.receiveFrom(near, 2, 0, n) },
		)
	})
}
