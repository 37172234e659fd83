package mux_test

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A simLink is one end of a simulated long way: bytes leave one after the other
// at a rate, and arrive a delay after they left. It has no deadlines and no
// half-close, so it is the least that a link can be. For virtual time.
type simLink struct {
	in, out *simWay
	closed  chan struct{} // of this end
	close   sync.Once
}

// A simWay is one direction of a link.
type simWay struct {
	rate   int           // bytes a second
	delay  time.Duration // from the last bit's departure to its arrival
	buffer int           // bytes that may wait for their departure; Write waits for room

	mu       sync.Mutex
	free     time.Time     // when the last byte written so far will have left
	pieces   []simPiece    // on their way, or arrived and unread
	arrivals chan struct{} // holds one if pieces may be new; Write sends
	ended    chan struct{} // closed when either end was; what was written still arrives
	end      sync.Once
	sent     int // bytes written, ever
}

type simPiece struct {
	p  []byte
	at time.Time // of its arrival
}

// simSegment is how much leaves at once.
const simSegment = 1460 * 8

// newSimLink returns the ends of a link of rate bytes a second each way, a
// round trip of rtt, and that much buffer before each way.
func newSimLink(rate int, rtt time.Duration, buffer int) (a, b *simLink) {
	way := func() *simWay {
		return &simWay{
			rate: rate, delay: rtt / 2, buffer: buffer,
			arrivals: make(chan struct{}, 1), ended: make(chan struct{}),
		}
	}
	x, y := way(), way()
	return &simLink{in: x, out: y, closed: make(chan struct{})}, &simLink{in: y, out: x, closed: make(chan struct{})}
}

// duration is how long n bytes take to leave.
func (w *simWay) duration(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(w.rate)
}

// put takes one segment, or says how long to wait for room.
func (w *simWay) put(p []byte) (wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	if room := w.duration(w.buffer) - w.free.Sub(now); room < w.duration(len(p)) {
		return w.duration(len(p)) - room
	}
	w.free = w.free.Add(w.duration(len(p)))
	w.sent += len(p)
	w.pieces = append(w.pieces, simPiece{append([]byte(nil), p...), w.free.Add(w.delay)})
	select {
	case w.arrivals <- struct{}{}:
	default:
	}
	return 0
}

// take copies what has arrived, or says how long until something does; -1 if
// nothing is on its way.
func (w *simWay) take(p []byte) (n int, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pieces) == 0 {
		return 0, -1
	}
	if wait := time.Until(w.pieces[0].at); wait > 0 {
		return 0, wait
	}
	for n < len(p) && len(w.pieces) > 0 && time.Until(w.pieces[0].at) <= 0 {
		k := copy(p[n:], w.pieces[0].p)
		n += k
		if w.pieces[0].p = w.pieces[0].p[k:]; len(w.pieces[0].p) == 0 {
			w.pieces = w.pieces[1:]
		}
	}
	return n, 0
}

func (l *simLink) Write(p []byte) (n int, err error) {
	for n < len(p) {
		piece := p[n:min(len(p), n+simSegment)]
		select {
		case <-l.closed:
			return n, io.ErrClosedPipe
		case <-l.out.ended:
			return n, io.ErrClosedPipe
		default:
		}
		wait := l.out.put(piece)
		if wait == 0 {
			n += len(piece)
			continue
		}
		select {
		case <-time.After(wait):
		case <-l.closed:
		case <-l.out.ended:
		}
	}
	return n, nil
}

func (l *simLink) Read(p []byte) (int, error) {
	for {
		n, wait := l.in.take(p)
		if n > 0 {
			return n, nil
		}
		var arrived <-chan time.Time
		ended := l.in.ended
		if wait >= 0 {
			arrived, ended = time.After(wait), nil // it arrives all the same
		}
		select {
		case <-arrived:
		case <-l.in.arrivals:
		case <-l.closed:
			return 0, io.ErrClosedPipe
		case <-ended:
			if _, wait := l.in.take(nil); wait < 0 {
				return 0, io.EOF
			}
		}
	}
}

// Close ends both directions; what was written still arrives.
func (l *simLink) Close() error {
	l.close.Do(func() { close(l.closed) })
	l.in.end.Do(func() { close(l.in.ended) })
	l.out.end.Do(func() { close(l.out.ended) })
	return nil
}

// TestSimLink checks the link itself: without a mux, it has the rate and the
// delay that it says.
func TestSimLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 5 << 20
		a, b := newSimLink(megabyte, 100*time.Millisecond, 64<<10)
		start := time.Now()
		go func() {
			_, _ = a.Write(make([]byte, size))
			_ = a.Close()
		}()
		n, err := io.Copy(io.Discard, b)
		want := 50*time.Millisecond + time.Duration(size)*time.Second/megabyte
		if took := time.Since(start).Round(time.Millisecond); n != size || err != nil || took != want.Round(time.Millisecond) {
			t.Errorf("Copy() = %d, %v after %v, want %d after %v", n, err, took, size, want)
		}
	})
}
