package transporttest

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/kith-go/kith/transport/netconn"
)

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
