package transporttest

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith/transport/netconn"
)

// A testHalf is one direction of a pipe that keeps all rules, or breaks one.
type testHalf struct {
	fault pipeFault

	mu       sync.Mutex
	data     []byte        // guarded by mu, like what follows
	total    int           // ever written
	eof      bool          // the writing end is closed, or half-closed
	gone     bool          // the reading end is closed
	rdl, wdl time.Time     // deadlines
	changed  chan struct{} // closed and replaced at each change
}

// room is how much is held. It is not a multiple of what is written at once.
func (h *testHalf) room() int {
	if h.fault == pipeUnbuffered {
		return 2 << 10
	}
	return 40_000
}

func newTestHalf(f pipeFault) *testHalf { return &testHalf{fault: f, changed: make(chan struct{})} }

// update changes the half and lets those who wait on it look again.
func (h *testHalf) update(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

// try calls f until it says that it is done, or closed is, or the deadline
// at comes.
func (h *testHalf) try(closed <-chan struct{}, at *time.Time, f func() (done bool)) error {
	for {
		h.mu.Lock()
		done, changed, t := f(), h.changed, *at
		h.mu.Unlock()
		if done {
			return nil
		}
		var late <-chan time.Time
		if !t.IsZero() {
			if !time.Now().Before(t) {
				return os.ErrDeadlineExceeded
			}
			timer := time.NewTimer(time.Until(t))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-changed:
		case <-closed:
			return io.ErrClosedPipe
		case <-late:
		}
	}
}

// A testEnd is one end of a testPipe.
type testEnd struct {
	fault   pipeFault
	in, out *testHalf
	other   *testEnd
	all     *sync.Mutex // of both ends, for oneLock
	closed  chan struct{}
	closing sync.Once
	stuck   chan struct{} // closed when the test is over
	kept    []byte        // what the last Write was given, for pipeKeepsSlice
}

func newTestPipe(f pipeFault, stuck chan struct{}) (a, b *testEnd) {
	x, y := newTestHalf(f), newTestHalf(f)
	mu := new(sync.Mutex)
	a = &testEnd{fault: f, in: x, out: y, all: mu, closed: make(chan struct{}), stuck: stuck}
	b = &testEnd{fault: f, in: y, out: x, all: mu, closed: make(chan struct{}), stuck: stuck}
	a.other, b.other = b, a
	return a, b
}

func (e *testEnd) isClosed() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}

func (e *testEnd) Read(p []byte) (n int, err error) {
	if e.fault == pipeReadFills {
		for n < len(p) && err == nil {
			var k int
			k, err = e.read(p[n:])
			n += k
		}
		return n, err
	}
	return e.read(p)
}

func (e *testEnd) read(p []byte) (n int, err error) {
	h, closed := e.in, e.closed
	if e.isClosed() && e.fault != pipeReadAfterClose {
		return 0, io.ErrClosedPipe
	}
	if e.fault == pipeCloseLeavesRead || e.fault == pipeReadAfterClose {
		closed = e.stuck
	}
	ended := h.try(closed, &h.rdl, func() bool {
		n = copy(p, h.data)
		h.data = h.data[n:]
		if n == 0 && h.eof && e.fault != pipeOtherReadHangs {
			err = io.EOF
		}
		return n > 0 || err != nil
	})
	if ended != nil {
		if e.fault == pipeDeadlineLoses && errors.Is(ended, os.ErrDeadlineExceeded) {
			h.mu.Lock()
			h.total = -1 // what comes next is lost
			h.mu.Unlock()
		}
		if e.fault == pipeDeadlineOdd {
			ended = errors.New("timed out")
		}
		return 0, ended
	}
	if n > 0 {
		h.update(func() {})
	}
	return n, err
}

func (e *testEnd) Write(p []byte) (n int, err error) {
	if e.isClosed() && e.fault != pipeWriteAfterClose {
		return 0, io.ErrClosedPipe
	}
	if e.isClosed() {
		return len(p), nil
	}
	if e.fault == pipeOneLock {
		e.all.Lock()
		defer e.all.Unlock()
	}
	if e.fault == pipeKeepsSlice {
		e.reread()
	}
	h, closed, rest := e.out, e.closed, p
	if e.fault == pipeCloseLeavesWrite {
		closed = e.stuck
	}
	if e.fault == pipeEmptyEnds && len(p) == 0 {
		h.update(func() { h.eof = true })
	}
	for len(rest) > 0 {
		ended := h.try(closed, &h.wdl, func() bool {
			switch {
			case h.gone && e.fault == pipeOtherWriteHangs, h.eof && e.fault == pipeCloseLeavesWrite:
			case h.gone && e.fault == pipeOtherWriteGoesOn:
				n, rest = len(p), nil
				return true
			case h.gone, h.eof:
				err = io.ErrClosedPipe
				return true
			}
			k := min(h.room()-len(h.data), len(rest))
			if k > 0 {
				h.take(rest[:k])
				n, rest = n+k, rest[k:]
			}
			return k > 0
		})
		if ended != nil && err == nil {
			err = ended
		}
		if err != nil {
			break
		}
		h.update(func() {})
	}
	return e.written(n, p, err)
}

// written is what Write returns.
func (e *testEnd) written(n int, p []byte, err error) (int, error) {
	switch {
	case e.fault == pipeShortWrite && n > 10000:
		return n - 1, err
	case e.fault == pipeWriteCount && errors.Is(err, os.ErrDeadlineExceeded):
		return 0, err
	case e.fault == pipeKeepsSlice:
		e.kept = p[:n]
	}
	return n, err
}

// reread makes what the last Write was given what it has become since, as far
// as nobody has read it: so it looks if that slice is used late.
func (e *testEnd) reread() {
	e.out.update(func() {
		k := min(len(e.kept), len(e.out.data))
		copy(e.out.data[len(e.out.data)-k:], e.kept[len(e.kept)-k:])
	})
}

// take appends what was written. mu held.
func (h *testHalf) take(p []byte) {
	lost := h.total < 0
	if lost {
		h.total = 0
	}
	if before := h.total; before < 100_000 && before+len(p) >= 100_000 && h.fault == pipeDropsByte || lost {
		p = p[1:]
	}
	h.total += len(p)
	h.data = append(h.data, p...)
}

func (e *testEnd) Close() error {
	if e.fault == pipeCloseAgainPanics {
		close(e.closed)
		e.end()
		return nil
	}
	e.closing.Do(func() {
		close(e.closed)
		e.end()
		if e.fault == pipeLeaks {
			go leakHandler(e.stuck)
		}
	})
	return nil
}

// end tells the other end.
func (e *testEnd) end() {
	e.out.update(func() { e.out.eof = true })
	e.in.update(func() { e.in.gone = true })
}

func (e *testEnd) SetReadDeadline(t time.Time) error {
	switch e.fault {
	case pipeDeadlineFake:
		return nil
	case pipeNoDeadlines:
		return os.ErrNoDeadline
	case pipeDeadlineUnseen:
		e.in.mu.Lock()
		defer e.in.mu.Unlock()
		e.in.rdl = t
		return nil
	}
	e.in.update(func() { e.in.rdl = t })
	return nil
}

func (e *testEnd) SetWriteDeadline(t time.Time) error {
	switch e.fault {
	case pipeWriteDeadlineFake:
		return nil
	case pipeNoDeadlines:
		return os.ErrNoDeadline
	}
	e.out.update(func() { e.out.wdl = t })
	return nil
}

func (e *testEnd) CloseWrite() error {
	if e.fault == pipeHalfCloseEndsBoth {
		return e.Close()
	}
	e.out.update(func() { e.out.eof = true })
	return nil
}

// plainPipe hides all but what a Pipe must have.
type plainPipe struct{ netconn.Pipe }

func makeTestPipe(testing.TB) (a, b netconn.Pipe) {
	x, y := newTestPipe(noPipeFault, nil)
	return x, y
}
