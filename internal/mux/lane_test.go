package mux_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// A laneLog collects what comes on a lane.
type laneLog struct {
	data    func(p []byte) error // nil: into got
	led     func(p []byte) bool  // whether who leads takes p; nil: yes
	stream  func(s *mux.Stream)  // nil: reset
	end     func()               // nil: nothing
	mu      sync.Mutex
	got     []byte
	enough  int
	reached chan struct{} // closed when got has enough bytes
}

func newLaneLog(enough int) *laneLog {
	return &laneLog{enough: enough, reached: make(chan struct{})}
}

func (l *laneLog) LaneData(p []byte) error {
	if l.data != nil {
		return l.data(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.got)
	if l.got = append(l.got, p...); before < l.enough && len(l.got) >= l.enough {
		close(l.reached)
	}
	return nil
}

func (l *laneLog) LaneLed(p []byte) (bool, error) {
	if l.led != nil && !l.led(p) {
		return false, nil
	}
	return true, l.LaneData(p)
}

func (l *laneLog) LaneStream(s *mux.Stream) {
	if l.stream != nil {
		l.stream(s)
		return
	}
	s.Reset(kith.Unimplemented)
}

func (l *laneLog) LaneEnd() {
	if l.end != nil {
		l.end()
	}
}

// Whoever has the lane is told of the end of the connection at both ends, once, and
// also if that came before.
func TestLaneEnd(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		told := make(chan error, 6)
		logOf := func(c *mux.Conn) *laneLog {
			l := newLaneLog(0)
			l.end = func() {
				err := c.Context().Err()
				c.CloseWithError(kith.OK, "")
				told <- err
			}
			return l
		}
		a.StartLane(logOf(a))
		b.StartLane(logOf(b))
		a.CloseWithError(kith.OK, "")
		for range 2 {
			if err := <-told; err == nil {
				t.Error("the lane's end came before that of the Context")
			}
		}
	})
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		a.CloseWithError(kith.OK, "")
		told := make(chan struct{})
		l := newLaneLog(0)
		l.end = func() { close(told) } // panics the second time
		if !a.StartLane(l) {
			t.Error("StartLane() of a connection that has ended = false, want true")
		}
		<-told
		b.CloseWithError(kith.OK, "")
	})
}

func TestLane(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		rng := rand.New(rand.NewPCG(1, 2))
		var want []byte
		sizes := []int{1, 20, 4096, 60 << 10, 1 << 20, 1<<20 + 1, 3<<20 + 5}
		for range 200 {
			sizes = append(sizes, 1+rng.IntN(10_000))
		}
		total := 0
		for _, n := range sizes {
			total += n
		}
		log := newLaneLog(total)
		a.StartLane(newLaneLog(0))
		b.StartLane(log)
		var wg sync.WaitGroup
		wg.Go(func() { // streams beside it
			for range 50 {
				s, err := a.OpenStream(t.Context())
				if err != nil {
					t.Errorf("OpenStream() = %v", err)
					return
				}
				s.Write(make([]byte, 1000))
				_, err = s.Read(make([]byte, 1))
				var se *transport.StreamError
				if !errors.As(err, &se) || se.Code != kith.Unimplemented || !se.Remote {
					t.Errorf("Read() = %v, want Unimplemented", err)
				}
				s.Close()
			}
		})
		for _, n := range sizes {
			p := make([]byte, mux.Headroom+n)
			for i := range p[mux.Headroom:] {
				p[mux.Headroom+i] = byte(rng.Uint32())
			}
			want = append(want, p[mux.Headroom:]...)
			if err := a.WriteLane(p); err != nil {
				t.Fatalf("WriteLane(%d bytes) = %v", n, err)
			}
			clear(p)
		}
		<-log.reached
		wg.Wait()
		if !bytes.Equal(log.got, want) {
			t.Errorf("%d bytes came, or others than were sent; want %d", len(log.got), len(want))
		}
	})
}

func TestLaneCloses(t *testing.T) {
	plain := errors.New("secret detail")
	for name, c := range map[string]struct {
		err    error
		code   kith.Code
		reason string
	}{
		"with a ConnError":     {&transport.ConnError{Code: kith.PermissionDenied, Reason: "not you"}, kith.PermissionDenied, "not you"},
		"with any other error": {plain, kith.Internal, "invalid data on the lane"},
	} {
		t.Run(name, func(t *testing.T) {
			overLinks(t, func(t *testing.T, a, b *mux.Conn) {
				a.StartLane(newLaneLog(0))
				log := newLaneLog(0)
				log.data = func([]byte) error { return c.err }
				b.StartLane(log)
				a.WriteLane(make([]byte, mux.Headroom+5))
				if ce := ended(t, b); ce.Code != c.code || ce.Remote {
					t.Errorf("this end: %#v, want %v", ce, c.code)
				}
				if ce := ended(t, a); ce.Code != c.code || ce.Reason != c.reason || !ce.Remote {
					t.Errorf("other end: %#v, want %v, %q", ce, c.code, c.reason)
				}
			})
		})
	}
}

// TestCloseFromLane closes from inside the handler, which the closing must not
// wait for.
func TestCloseFromLane(t *testing.T) {
	for _, where := range []string{"LaneData", "LaneStream"} {
		t.Run(where, func(t *testing.T) {
			overLinks(t, func(t *testing.T, a, b *mux.Conn) {
				log := newLaneLog(0)
				log.data = func([]byte) error { return b.CloseWithError(kith.Aborted, "from inside") }
				log.stream = func(*mux.Stream) { b.CloseWithError(kith.Aborted, "from inside") }
				a.StartLane(newLaneLog(0))
				b.StartLane(log)
				if where == "LaneData" {
					a.WriteLane(make([]byte, mux.Headroom+5))
				} else {
					s, err := a.OpenStream(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					s.CloseWrite()
				}
				if ce := ended(t, a); ce.Code != kith.Aborted || ce.Reason != "from inside" {
					t.Errorf("other end: %v", ce)
				}
			})
		})
	}
}

// TestLaneAllocates nothing, from WriteLane to LaneData.
func TestLaneAllocates(t *testing.T) {
	x, y := tcpPair(t)
	a, b := dialedConn(t, x), acceptedConn(t, y)
	srv := &laneEcho{c: b, buf: make([]byte, mux.Headroom, 4096)}
	b.StartLane(srv)
	cl := &laneEcho{c: a, back: make(chan int, 1)}
	a.StartLane(cl)
	buf := make([]byte, mux.Headroom+100)
	if n := testing.AllocsPerRun(1000, func() {
		if err := a.WriteLane(buf); err != nil {
			t.Fatal(err)
		}
		for n := 100; n > 0; n -= <-cl.back {
		}
	}); n > 0.1 && !raceEnabled {
		t.Errorf("%v allocations for a round trip on the lane, want 0", n)
	}
}

// TestStreamAllocates nothing for data on an open stream.
func TestStreamAllocates(t *testing.T) {
	x, y := tcpPair(t)
	a, b := dialedConn(t, x), acceptedConn(t, y)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer b.CloseWithError(kith.OK, "")
	wg.Go(func() { echo(t, b, &wg) })
	s, err := a.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 20_000)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := s.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			t.Fatal(err)
		}
	}); n > 0.5 && !raceEnabled {
		t.Errorf("%v allocations for a round trip on a stream, want 0", n)
	}
	s.CloseWrite()
	if _, err := io.ReadAll(s); err != nil {
		t.Errorf("ReadAll() = %v", err)
	}
	s.Close()
}

// TestTryLane writes to a link whose other end is slow to read, now and then
// without waiting. What is taken arrives once and in order.
func TestTryLane(t *testing.T) {
	x, y := tcpPair(t)
	a, b := dialedConn(t, x), acceptedConn(t, y)
	const total = 32 << 20
	log := newLaneLog(total)
	gate := make(chan struct{})
	log.data = func(p []byte) error {
		<-gate // the link fills up
		log.mu.Lock()
		log.got = append(log.got, p...)
		if len(log.got) == total {
			close(log.reached)
		}
		log.mu.Unlock()
		return nil
	}
	a.StartLane(newLaneLog(0))
	b.StartLane(log)
	var want []byte
	taken, refused := 0, 0
	p := make([]byte, mux.Headroom+256<<10)
	for i := 0; len(want) < total; i++ {
		for j := range p {
			p[j] = byte(i + j>>8)
		}
		part := p[:mux.Headroom+min(1+i*1000%(256<<10), total-len(want))]
		want = append(want, part[mux.Headroom:]...)
		if a.TryLane(part, false) {
			taken++
			continue
		}
		if refused++; refused == 1 {
			close(gate)
		}
		if err := a.WriteLane(part); err != nil {
			t.Fatalf("WriteLane() = %v", err)
		}
	}
	<-log.reached
	if !bytes.Equal(log.got, want) {
		t.Error("the lane's bytes are not those that were written")
	}
	if taken == 0 || refused == 0 {
		t.Errorf("%d frames taken at once, %d refused, want some of both", taken, refused)
	}
}
