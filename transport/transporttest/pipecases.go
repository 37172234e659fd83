package transporttest

import (
	"errors"
	"io"
	"os"
	"runtime"
	"time"

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

// pipe makes a pipe for the case, which is over if it has failed: nobody would
// close the pipe.
func (r *run) pipe() (a, b netconn.Pipe) {
	select {
	case <-r.broken:
		runtime.Goexit()
	default:
	}
	return r.pipes.pair()
}

// pipeWays calls f for both directions of a new pipe each.
func (r *run) pipeWays(f func(from, to netconn.Pipe)) {
	a, b := r.pipe()
	f(a, b)
	r.closePipe(a, b)
	a, b = r.pipe()
	f(b, a)
	r.closePipe(a, b)
}

// closePipe closes ends. What it returns does not matter, but that it returns.
func (r *run) closePipe(ends ...netconn.Pipe) {
	for _, p := range ends {
		if _, panicked := tryClose(p); panicked != nil {
			r.fatalf("Close() = %v", panicked)
		}
	}
}

// A stuffing is a task that writes until it cannot any more.
type stuffing struct {
	*task
	n   int64 // set before the task ends, like what follows
	err error // of Write; nil if the pipe takes in anything
}

const stuffPiece = 32 << 10

// stuff writes bytes of p to w until that fails, or MaxBuffered are taken.
func (r *run) stuff(w io.Writer, p pattern) *stuffing {
	s := &stuffing{}
	s.task = r.start(func() {
		buf := make([]byte, stuffPiece)
		for s.err == nil && (r.maxBuffered() < 0 || s.n <= r.maxBuffered()) {
			p.fill(buf, s.n)
			var n int
			n, s.err = w.Write(buf)
			s.n += int64(n)
			if s.err == nil && n != len(buf) {
				r.fatalf("Write(%d bytes) = %d, nil, want %d or an error", len(buf), n, len(buf))
			}
		}
	})
	return s
}

// letStuff waits until a Write waits. The case is skipped where none does.
func (r *run) letStuff(s *stuffing) {
	r.letBlock()
	select {
	case <-s.done:
		r.skipEndless(s)
	default:
	}
}

func (r *run) skipEndless(s *stuffing) {
	s.wait()
	if s.err == nil {
		r.skip("Write does not wait while nobody reads: more than PipeSetup.MaxBuffered was taken in")
	}
}

// expectReadFails reads where that must fail.
func (r *run) expectReadFails(p io.Reader, when string) {
	if n, err := p.Read(make([]byte, 10)); n != 0 || err == nil {
		r.fatalf("Read() %s = %d, %v, want 0 and an error", when, n, err)
	}
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

const worksWhereNil = "Where they return nil they work: they end a call that is blocked, with an error matching os.ErrDeadlineExceeded, and no byte is lost."

// setterOf returns the method of a pipe that sets a deadline. The case is
// skipped if there is none, or it says that it does not work.
func (r *run) setterOf(p netconn.Pipe, write bool) func(time.Time) {
	var set func(time.Time) error
	name := "SetReadDeadline"
	if d, ok := p.(interface{ SetReadDeadline(time.Time) error }); ok {
		set = d.SetReadDeadline
	}
	if write {
		name, set = "SetWriteDeadline", nil
		if d, ok := p.(interface{ SetWriteDeadline(time.Time) error }); ok {
			set = d.SetWriteDeadline
		}
	}
	if set == nil {
		r.skip("the pipe has no " + name)
	}
	if err := set(time.Time{}); err != nil {
		r.skip("the pipe has no deadlines: " + name + "() = " + err.Error())
	}
	return func(t time.Time) {
		if err := set(t); err != nil {
			r.fatalf("%s(%v) = %v, want nil as for the zero time", name, t, err)
		}
	}
}

func (r *run) expectDeadline(p io.Reader) {
	if n, err := p.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		r.fatalf("Read() with a deadline and nothing to read = %d, %v, want 0, os.ErrDeadlineExceeded", n, err)
	}
}

func pipeReadDeadline(r *run) {
	r.pipeWays(func(near, far netconn.Pipe) {
		set := r.setterOf(near, false)
		r.obey(rule{"netconn.Pipe", worksWhereNil})
		set(time.Now().Add(-time.Second))
		r.expectDeadline(near)
		set(time.Now().Add(20 * time.Millisecond))
		r.expectDeadline(near)
		set(time.Time{})
		reading := r.start(func() { r.expectDeadline(near) })
		r.letBlock()
		set(time.Now())
		reading.wait()

		n := r.scale(256 << 10)
		r.all(
			func() { r.send(far, 1, n) },
			func() { r.receiveByDeadlines(near, set, n) },
		)
	})
}

// receiveByDeadlines reads n bytes, every other time with a deadline that may
// come before there is something.
func (r *run) receiveByDeadlines(p io.Reader, set func(time.Time), n int) {
	buf := make([]byte, 3000)
	for i, off := 0, 0; off < n; i++ {
		var t time.Time
		if i%2 == 0 {
			t = time.Now().Add(time.Duration(i%16) * 10 * time.Microsecond)
		}
		set(t)
		k, err := p.Read(buf[:min(len(buf), n-off)])
		if at := pattern(1).wrong(buf[:k], int64(off)); at >= 0 {
			r.fatalf("the byte at %d is not the one written", at)
		}
		if off += k; err != nil && (t.IsZero() || !errors.Is(err, os.ErrDeadlineExceeded)) {
			r.fatalf("Read() = %v after %d of %d bytes", err, off, n)
		}
	}
}

func pipeWriteDeadline(r *run) {
	r.pipeWays(func(near, far netconn.Pipe) {
		set := r.setterOf(near, true)
		r.obey(rule{"netconn.Pipe", worksWhereNil})
		writing := r.stuff(near, 1)
		r.letStuff(writing)
		set(time.Now())
		r.skipEndless(writing)
		if !errors.Is(writing.err, os.ErrDeadlineExceeded) {
			r.fatalf("Write() with a deadline and no room = %v, want os.ErrDeadlineExceeded", writing.err)
		}
		set(time.Time{})
		r.all( // what Write said it took arrives, and then what is written next
			func() { r.write(near, pattern(2).bytes(1000)) },
			func() {
				r.receiveFrom(far, 1, 0, int(writing.n))
				r.expect(far, pattern(2).bytes(1000))
			},
		)
	})
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
