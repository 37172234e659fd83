package memory

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/kith-go/kith/transport"
)

// errHalfClosed is returned by a Write after CloseWrite.
var errHalfClosed = fmt.Errorf("write after half-close: %w", transport.ErrClosed)

// pieceCost is what a piece in flight counts against the window besides its
// bytes, so that one-byte writes over a slow line are bounded in memory too.
const pieceCost = 128

// floor is how much of its window a stream always gets. The rest it borrows
// from what all streams in the same direction of a connection share, spareBytes:
// streams that nobody reads cannot stall others, nor hold memory without end.
const (
	floor      = 16 << 10
	spareBytes = 16 << 20
)

// A pipe carries the bytes of one direction of a stream. What was written
// stays in one bounded buffer until it is read. Over a plain line a byte can
// be read at once; else it can when the line says that it has arrived.
//
// A pipe runs no goroutine. Nothing waits while it holds the mutex, and a
// line's mutex may be taken under it, never the other way round.
type pipe struct {
	circ   *circuit
	line   *line   // carries this pipe's bytes
	to     *stream // the end that reads
	window int     // in bytes; negative for no limit

	flow   flow         // guarded by line.mu
	flying atomic.Int32 // pieces in flight

	mu       sync.Mutex
	readable sync.Cond // waited on by Read
	writable sync.Cond // waited on by Write
	buf      ring
	avail    int    // the first bytes of buf, which have arrived
	readers  int    // Reads that wait
	dst      []byte // the buffer of one of them, nil once something is in it
	got      int    // how much
	lent     int    // bytes of buf that are borrowed from circ.spare
	blocked  bool   // a Write waits for room
	level    int    // what was used when it began to wait
	seen     bool   // the reader's side knows of the stream
	fin      bool   // the writer has half-closed
	eof      bool   // and that has arrived
	eofRead  bool   // and Read has returned it
	stopped  bool   // werr is that the reader has stopped
	rerr     error  // what Read fails with, once set
	werr     error  // what Write fails with, once set
	rdl, wdl deadline
	holdSlot bool // the stream's slot comes free when buf is empty
}

func (p *pipe) init(c *circuit, l *line, to *stream, window int, seen bool) {
	p.circ, p.line, p.to, p.window, p.seen = c, l, to, window, seen
	p.readable.L, p.writable.L = &p.mu, &p.mu
}

// plain reports whether a byte written now can be read now.
func (p *pipe) plain() bool { return p.avail == p.buf.len && !p.circ.shaped(p.line) }

// used returns how much of the window is taken.
func (p *pipe) used() int { return p.buf.len + int(p.flying.Load())*pieceCost }

// claim returns how many of n bytes there is room for, and borrows what is
// needed for them.
func (p *pipe) claim(n int) int {
	if p.window < 0 {
		return n
	}
	n = max(0, min(n, p.window-p.used()))
	need := p.buf.len + n - floor - p.lent
	if need <= 0 {
		return n
	}
	spare := &p.circ.spare[p.to.conn.side]
	for {
		left := spare.Load()
		got := max(0, min(int64(need), left))
		if spare.CompareAndSwap(left, left-got) {
			p.lent += int(got)
			return n - need + int(got)
		}
	}
}

// freed follows when buf has shrunk: it gives back what was borrowed, and
// wakes a Write that waits once a quarter of what filled the pipe is gone. Waking
// it for each byte read would cost more than it brings.
func (p *pipe) freed() {
	if back := p.lent - max(0, p.buf.len-floor); back > 0 {
		p.lent -= back
		p.circ.spare[p.to.conn.side].Add(int64(back))
	}
	if p.blocked && p.used() <= p.level-(p.level+3)/4 {
		p.blocked = false
		p.writable.Broadcast()
	}
}

// write writes b, and half-closes after all of it if last is set.
func (p *pipe) write(b []byte, last bool) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if err := p.writeErr(); err != nil {
			return n, err
		}
		k, plain := p.put(b[n:], last)
		n += k
		announce := plain && !p.seen && (k > 0 || p.eof)
		if announce {
			p.seen = true
			p.mu.Unlock()
			p.circ.announce(p.to)
			p.mu.Lock()
		}
		switch {
		case n == len(b):
			return n, nil
		case !announce: // else things may have changed
			p.blocked, p.level = true, p.used()
			p.writable.Wait()
		}
	}
}

func (p *pipe) writeErr() error {
	switch {
	case p.werr != nil:
		return p.werr
	case p.fin:
		return errHalfClosed
	case p.wdl.expired:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// put takes as much of b as there is room for, and half-closes after all of it
// if last is set.
func (p *pipe) put(b []byte, last bool) (n int, plain bool) {
	plain = p.plain()
	if plain && p.rerr != nil {
		p.fin = last // the reader has stopped; the writer is about to be told
		return len(b), plain
	}
	if plain && len(p.dst) > 0 && len(b) > 0 {
		n = copy(p.dst, b) // buf is empty, as a Read waits
		p.got, p.dst = n, nil
	}
	k := p.claim(len(b) - n)
	p.buf.write(b[n : n+k])
	p.fin = last && n+k == len(b)
	if !plain {
		if k > 0 || p.fin {
			p.line.send(p, k, p.fin)
		}
		return n + k, plain
	}
	n += k
	p.avail, p.eof = p.buf.len, p.fin
	if p.readers > 0 && (n > 0 || p.eof) {
		p.readable.Broadcast()
	}
	p.line.carried(n)
	return n, plain
}

// closeWrite half-closes, without waiting. A Write that waits fails. That the
// reader has stopped is news for Write only: whoever had more to say.
func (p *pipe) closeWrite() error {
	p.mu.Lock()
	if p.fin || p.werr != nil {
		defer p.mu.Unlock()
		if p.fin || p.stopped {
			return nil
		}
		return p.werr
	}
	_, plain := p.put(nil, true)
	announce := plain && !p.seen
	p.seen = p.seen || plain
	p.writable.Broadcast()
	p.mu.Unlock()
	if announce {
		p.circ.announce(p.to)
	}
	return nil
}

// read reads what has arrived, waiting until something has.
func (p *pipe) read(b []byte) (n int, err error) {
	p.mu.Lock()
	for {
		switch {
		case p.rerr != nil:
			err = p.rerr
		case p.rdl.expired:
			err = os.ErrDeadlineExceeded
		case len(b) == 0:
		case p.avail > 0:
			n = p.buf.read(b[:min(len(b), p.avail)])
			p.avail -= n
			p.freed()
		case p.eof:
			p.eofRead, err = true, io.EOF
		default:
			if n = p.await(b); n == 0 {
				continue
			}
		}
		free := p.slotFree()
		p.mu.Unlock()
		if free {
			p.circ.freeSlot(p.to)
		}
		return n, err
	}
}

// await waits until something happens to the pipe, and returns how much a
// Write has put straight into b meanwhile.
func (p *pipe) await(b []byte) int {
	mine := p.readers == 0 // a second reader breaks the rules, and only waits
	if mine {
		p.dst, p.got = b, 0
	}
	p.readers++
	p.readable.Wait()
	p.readers--
	if !mine {
		return 0
	}
	p.dst = nil
	return p.got
}

// slotFree reports whether the stream's slot has just come free.
func (p *pipe) slotFree() bool {
	free := p.holdSlot && p.buf.len == 0
	if free {
		p.holdSlot = false
	}
	return free
}

// buffered returns how much was written and not read.
func (p *pipe) buffered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.len
}
