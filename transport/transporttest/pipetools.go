package transporttest

import (
	"io"
	"runtime"

	"github.com/kith-go/kith/transport/netconn"
)

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
