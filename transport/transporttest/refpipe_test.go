package transporttest

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

const refWindow = 64 << 10

// A refPipe is one direction of a stream: a bounded buffer with deadlines.
type refPipe struct {
	net  *refNet
	room *refRoom
	many bool // one of many streams

	mu         sync.Mutex
	data       [][]byte
	size       int // of data
	written    int
	eof        bool
	rerr, werr error // what Read and Write return
	rdl, wdl   time.Time
	oldest     time.Time     // the first read deadline that was set
	changed    chan struct{} // closed and replaced at each change
}

func newRefPipe(c *refConn) *refPipe {
	return &refPipe{net: c.t.net, room: c.link.room, many: len(c.slots) > 4, changed: make(chan struct{})}
}

// update changes the pipe and lets those who wait on it look again.
func (p *refPipe) update(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *refPipe) setDeadline(at *time.Time, t time.Time, quietly bool) {
	if quietly {
		p.mu.Lock()
		defer p.mu.Unlock()
		*at = t
		return
	}
	p.update(func() {
		*at = t
		if p.oldest.IsZero() {
			p.oldest = t
		}
	})
}

func (p *refPipe) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.eof && p.size == 0
}

func (p *refPipe) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rerr != nil
}

// discard forgets what was not read; the caller holds mu.
func (p *refPipe) discard() {
	if !p.net.is(discardKeepsRoom) {
		p.room.add(-p.size)
	}
	p.data, p.size = nil, 0
}

func (p *refPipe) waitEmpty() {
	for {
		p.mu.Lock()
		size, changed := p.size, p.changed
		p.mu.Unlock()
		if size == 0 {
			return
		}
		select {
		case <-changed:
		case <-p.net.stuck:
			return
		}
	}
}

// wait waits for a change of the pipe or the room, or for the deadline.
func (p *refPipe) wait(changed, room <-chan struct{}, deadline time.Time) error {
	d := time.Duration(-1)
	if !deadline.IsZero() {
		d = max(0, time.Until(deadline))
	}
	timeout, stop := after(d)
	defer stop()
	select {
	case <-changed:
	case <-room:
	case <-timeout:
	case <-p.net.stuck:
		return errStrange
	}
	return nil
}

func over(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (p *refPipe) Read(b []byte) (n int, err error) {
	for len(b) > 0 {
		p.mu.Lock()
		n, err := p.read(b)
		changed, deadline := p.changed, p.rdl
		p.mu.Unlock()
		if n > 0 || err != nil {
			p.update(func() {})
			return n, err
		}
		if p.net.is(deadlineEarly) && !deadline.IsZero() {
			p.wait(changed, nil, deadline.Add(-stall/8))
			return 0, os.ErrDeadlineExceeded
		}
		if err := p.wait(changed, nil, deadline); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// read is Read without waiting; the caller holds mu.
func (p *refPipe) read(b []byte) (n int, err error) {
	switch {
	case over(p.rdl) || p.net.is(firstDeadlineStays) && over(p.oldest):
		return 0, p.readTimeout()
	case p.rerr != nil:
		return 0, p.rerr
	case p.size > 0:
		n = copy(b, p.data[0])
		if p.data[0] = p.data[0][n:]; len(p.data[0]) == 0 {
			p.data = p.data[1:]
		}
		p.size -= n
		p.room.add(-n)
		return n, nil
	case p.eof:
		return 0, io.EOF
	}
	return 0, nil
}

func (p *refPipe) readTimeout() error {
	switch {
	case p.net.is(readDeadlineWrong):
		return errStrange
	case p.net.is(deadlineKillsStream):
		p.rerr = errStrange
	case p.net.is(deadlineLosesData):
		p.data, p.size = nil, 0
	}
	return os.ErrDeadlineExceeded
}

func (p *refPipe) Write(b []byte) (n int, err error) {
	for {
		p.mu.Lock()
		k, room, err := p.write(b[n:])
		n += k
		changed, deadline := p.changed, p.wdl
		p.mu.Unlock()
		if k > 0 {
			p.update(func() {})
		}
		if err != nil && (p.net.is(writeCountLost) || err == errHalfClosed && p.net.is(closeWriteDropsCount)) {
			return 0, err
		}
		if n == len(b) || err != nil {
			return n, err
		}
		if k > 0 {
			continue
		}
		if err := p.wait(changed, room, deadline); err != nil {
			return n, err
		}
	}
}

// write is Write without waiting; the caller holds mu. It returns what to
// wait for beside changes of the pipe.
func (p *refPipe) write(b []byte) (n int, room <-chan struct{}, err error) {
	switch {
	case p.werr != nil:
		return 0, nil, p.werr
	case over(p.wdl) && p.net.is(writeDeadlineWrong):
		return 0, nil, errStrange
	case over(p.wdl):
		return 0, nil, os.ErrDeadlineExceeded
	case p.eof: // a fault let it get here
		return len(b), nil, nil
	}
	window := refWindow
	switch {
	case p.net.is(bigWindow):
		window = 16 * refWindow
	case p.net.is(noWindow):
		window = 1 << 30
	}
	n, room = p.room.free(max(0, min(len(b), window-p.size)))
	if n > 0 {
		p.take(b[:n], n < len(b))
	}
	return n, room, nil
}

// take appends a copy of b, if no fault is against it.
func (p *refPipe) take(b []byte, blocked bool) {
	held := b
	switch {
	case p.net.is(keepsSlice), p.net.is(keepsSliceIfBlocked) && blocked:
	case p.net.is(smallWritesCostly):
		held = append(make([]byte, 0, len(b)+4096), b...)
	default:
		held = bytes.Clone(b)
	}
	old := p.written
	if p.net.is(corruptsLongStreams) && old < 1<<20 && old+len(b) >= 1<<20 || p.many && p.net.is(corruptsManyStreams) && old > 1<<16 {
		held[0] ^= 1
	}
	p.data = append(p.data, held)
	p.size += len(b)
	p.written += len(b)
	p.room.add(len(b))
}

// A refRoom is what the streams of a faulty connection may hold together.
type refRoom struct {
	limit   int
	mu      sync.Mutex
	used    int           // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced at each change
}

func (m *refRoom) add(n int) {
	if m == nil || n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
	close(m.changed)
	m.changed = make(chan struct{})
}

// free returns how much of want there is room for, and what to wait for.
func (m *refRoom) free(want int) (int, <-chan struct{}) {
	if m == nil {
		return want, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(0, min(want, m.limit-m.used)), m.changed
}
