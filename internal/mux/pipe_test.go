package mux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// A pipeEnd is one end of a buffered pipe in memory, fit for virtual time.
type pipeEnd struct {
	in, out *pipeHalf
	dribble bool // Read returns one byte at a time
}

// pipeSize is how much one direction of a pipe holds.
const pipeSize = 32 << 10

type pipeHalf struct {
	mu          sync.Mutex
	changed     sync.Cond
	buf         []byte
	ended       bool // no more will be written
	broken      bool // an end was closed
	read, write pipeLimit
	transferred int
}

func newPipe() (a, b *pipeEnd) {
	x, y := new(pipeHalf), new(pipeHalf)
	x.changed.L, y.changed.L = &x.mu, &y.mu
	return &pipeEnd{in: x, out: y}, &pipeEnd{in: y, out: x}
}

func (e *pipeEnd) Read(p []byte) (int, error) {
	h := e.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.broken && len(h.buf) == 0:
			return 0, io.ErrClosedPipe
		case past(h.read.by):
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			if e.dribble {
				p = p[:1]
			}
			n := copy(p, h.buf)
			h.buf = h.buf[:copy(h.buf, h.buf[n:])]
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (e *pipeEnd) Write(p []byte) (n int, err error) {
	h := e.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for n < len(p) {
		switch {
		case h.broken || h.ended:
			return n, io.ErrClosedPipe
		case past(h.write.by):
			return n, os.ErrDeadlineExceeded
		case len(h.buf) < pipeSize:
			k := min(len(p)-n, pipeSize-len(h.buf))
			h.buf = append(h.buf, p[n:n+k]...)
			h.transferred += k
			n += k
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
	return n, nil
}

// Close ends both directions; what was written can still be read.
func (e *pipeEnd) Close() error {
	e.CloseWrite()
	e.in.mu.Lock()
	e.in.broken = true
	e.in.changed.Broadcast()
	e.in.mu.Unlock()
	e.in.end(&e.in.read)
	e.out.end(&e.out.write)
	return nil
}

func (e *pipeEnd) CloseWrite() error {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.ended = true
	e.out.changed.Broadcast()
	return nil
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// A pipeLimit is a deadline of one side of a pipeHalf, under its mu.
type pipeLimit struct {
	by    time.Time
	timer *time.Timer
	over  bool           // the side is closed: no timer is made any more
	fired sync.WaitGroup // timers that were not stopped in time
}

func (h *pipeHalf) deadline(l *pipeLimit, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.stop()
	l.by = t
	if !t.IsZero() && !l.over {
		l.fired.Add(1)
		l.timer = time.AfterFunc(time.Until(t), func() {
			defer l.fired.Done()
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}

func (l *pipeLimit) stop() {
	if l.timer != nil && l.timer.Stop() {
		l.fired.Done()
	}
	l.timer = nil
}

// end stops the timer and waits for one that fired.
func (h *pipeHalf) end(l *pipeLimit) {
	h.mu.Lock()
	l.over = true
	l.stop()
	h.mu.Unlock()
	l.fired.Wait()
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.deadline(&e.in.read, t)
	return nil
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.deadline(&e.out.write, t)
	return nil
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *pipeEnd) LocalAddr() net.Addr  { return nil }
func (e *pipeEnd) RemoteAddr() net.Addr { return nil }

// A pipeTransport connects to itself, through pipes, or what link makes.
type pipeTransport struct {
	link func() (dialed, accepted net.Conn, err error)

	mu     sync.Mutex
	closed chan struct{}
	ready  chan *mux.Conn
	lns    []*pipeListener
	conns  []*mux.Conn
}

func newPipeTransport(link func() (net.Conn, net.Conn, error)) *pipeTransport {
	return &pipeTransport{link: link, closed: make(chan struct{}), ready: make(chan *mux.Conn)}
}

func (t *pipeTransport) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	if t.isClosed() {
		return nil, transport.ErrClosed
	}
	t.mu.Lock()
	var ln *pipeListener
	for _, l := range t.lns {
		if l.addr == a.WithID(kith.ID{}) && !l.isClosed() {
			ln = l
		}
	}
	t.mu.Unlock()
	if ln == nil {
		return nil, errors.New("nobody listens")
	}
	a1, b1, err := t.link()
	if err != nil {
		return nil, err
	}
	info := transport.Info{Transport: "pipe", Local: a, Remote: a}
	x := mux.New(a1, mux.Config{Dialed: true, Info: info})
	y := mux.New(b1, mux.Config{Info: info})
	select {
	case t.ready <- y:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.conns = append(t.conns, x, y)
		return x, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-ln.done:
		err = transport.ErrClosed
	case <-t.closed:
		err = transport.ErrClosed
	}
	x.CloseWithError(kith.Canceled, "")
	y.CloseWithError(kith.Canceled, "")
	return nil, err
}

func (t *pipeTransport) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	if t.isClosed() {
		return nil, transport.ErrClosed
	}
	l := &pipeListener{t: t, addr: a.WithID(kith.ID{}), done: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lns = append(t.lns, l)
	return l, nil
}

func (t *pipeTransport) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

func (t *pipeTransport) Close() error {
	t.mu.Lock()
	if !t.isClosed() {
		close(t.closed)
	}
	conns := t.conns
	t.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() { c.CloseWithError(kith.Unavailable, "") })
	}
	wg.Wait()
	return nil
}

type pipeListener struct {
	t    *pipeTransport
	addr transport.Addr
	done chan struct{}
	once sync.Once
}

func (l *pipeListener) Accept(ctx context.Context) (transport.Conn, error) {
	select {
	case <-l.done:
		return nil, transport.ErrClosed
	default:
	}
	select {
	case c := <-l.t.ready:
		return c, nil
	case <-l.done:
		return nil, transport.ErrClosed
	case <-l.t.closed:
		return nil, transport.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *pipeListener) Addr() transport.Addr { return l.addr }

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// delayedPipe is a pipe on which everything takes a while, and that holds
// whatever is on the way.
func delayedPipe(t *testing.T, delay time.Duration) (a, b net.Conn) {
	a, x := newPipe()
	y, b := newPipe()
	for _, way := range [][2]net.Conn{{x, y}, {y, x}} {
		from, to := way[0], way[1]
		type piece struct {
			p  []byte
			at time.Time
		}
		pieces := make(chan piece, 1<<16)
		go func() {
			defer close(pieces)
			for {
				p := make([]byte, 16<<10)
				n, err := from.Read(p)
				if err != nil {
					return
				}
				pieces <- piece{p[:n], time.Now().Add(delay)}
			}
		}()
		go func() {
			for p := range pieces {
				time.Sleep(time.Until(p.at))
				to.Write(p.p)
			}
			to.Close()
		}()
	}
	return a, b
}
