package mux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// The tests in this file are peers that stop, or are slow, and links that fail
// half-way. Each says what others notice of it: nothing, or the end.

// TestAttackDribble sends the body of a frame at a byte a second. A read of
// another stream, and one of the same for more than came, end at their
// deadlines, and what this end writes leaves at once.
func TestAttackDribble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := rawPair(t, mux.Config{})
		r.link.Write(bytes.Join([][]byte{rawFrame(0x11, 1, []byte("a")), rawFrame(0x11, 3, []byte("b"))}, nil))
		var streams []transport.Stream
		for range 2 {
			s, err := c.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			io.ReadFull(s, make([]byte, 1))
			streams = append(streams, s)
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			for _, b := range rawFrame(0x10, 1, make([]byte, 60)) {
				time.Sleep(time.Second)
				r.link.Write([]byte{b})
			}
		}()
		time.Sleep(15*time.Second + 500*time.Millisecond) // the body has begun
		for i, s := range streams {
			start := time.Now()
			s.SetReadDeadline(start.Add(time.Second))
			n, err := io.ReadFull(s, make([]byte, 10))
			if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != time.Second {
				t.Errorf("stream %d: read %d, %v after %v, want a deadline after 1s", i, n, err, took)
			}
		}
		start := time.Now()
		for _, s := range streams {
			if _, err := s.Write([]byte("hello")); err != nil {
				t.Errorf("Write() = %v", err)
			}
		}
		io.ReadFull(r.link, make([]byte, len(mux.Preface)))
		for got := 0; got < 2; { // STREAMS may come between
			first, _, p, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if first == 0x10 && string(p) == "hello" {
				got++
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("what was written took %v, want no time", took)
		}
		start = time.Now()
		c.CloseWithError(kith.OK, "")
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("CloseWithError took %v in the middle of a frame", took)
		}
		<-over
	})
}

// TestAttackStuckWriter has a Write wait for a peer that does not read. It
// ends as soon as the peer's word can be here.
func TestAttackStuckWriter(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for name, stop := range map[string]struct {
		do   func(near, far *mux.Conn, s transport.Stream)
		want func(error) bool
	}{
		"stream reset": {
			func(_, _ *mux.Conn, s transport.Stream) { s.Reset(kith.Aborted) },
			func(err error) bool { return isStreamError(err, kith.Aborted) },
		},
		"stream closed": {
			func(_, _ *mux.Conn, s transport.Stream) { s.Close() },
			func(err error) bool { return isStreamError(err, kith.Canceled) },
		},
		"connection closed": {
			func(_, far *mux.Conn, _ transport.Stream) { far.CloseWithError(kith.Aborted, "enough") },
			func(err error) bool { return errors.Is(err, transport.ErrClosed) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, y := newSimLink(linkOf100M, rtt, 64<<10)
				a, b := mux.New(x, mux.Config{Dialed: true}), mux.New(y, mux.Config{})
				near, far := openPair(t, a, b)
				wrote := make(chan error)
				go func() {
					_, err := near.Write(make([]byte, 64<<20))
					wrote <- err
				}()
				time.Sleep(time.Minute) // it waits for credit
				start := time.Now()
				go stop.do(a, b, far)
				err := <-wrote
				if took := time.Since(start); !stop.want(err) || took > rtt {
					t.Errorf("Write() = %v after %v, want the peer's word within %v", err, took, rtt)
				}
				a.CloseWithError(kith.OK, "")
				b.CloseWithError(kith.OK, "")
			})
		})
	}
}

// TestAttackStuckLink is the same where the peer does not even read its end
// of the link, so that the writer is stuck in the kernel, and then says stop.
func TestAttackStuckLink(t *testing.T) {
	for kind, link := range stuckLinks {
		for name, stop := range map[string]struct {
			frame []byte
			want  func(error) bool
		}{
			"stop":  {rawFrame(0x30, 1, u32(uint32(kith.Aborted))), func(err error) bool { return isStreamError(err, kith.Aborted) }},
			"close": {rawFrame(0x60, 0, u32(uint32(kith.Aborted))), func(err error) bool { return errors.Is(err, transport.ErrClosed) }},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				x, y := link(t)
				_, _, wrote := fullLink(t, x, y)
				if _, err := y.Write(stop.frame); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-wrote:
					if !stop.want(err) {
						t.Errorf("Write() = %v", err)
					}
				case <-time.After(20 * time.Second):
					t.Error("Write is still blocked")
				}
			})
		}
	}
}

func isStreamError(err error, code kith.Code) bool {
	se, ok := errors.AsType[*transport.StreamError](err)
	return ok && se.Code == code && se.Remote
}

// A tornLink fails in a write after so many bytes, as one with a write timeout
// does.
type tornLink struct {
	net.Conn
	mu    sync.Mutex
	tears bool
	left  int // bytes until it does
}

// tear makes the link fail after n bytes more.
func (l *tornLink) tear(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tears, l.left = true, n
}

func (l *tornLink) Write(p []byte) (int, error) {
	l.mu.Lock()
	n := len(p)
	if l.tears {
		n = min(l.left, n)
		l.left -= n
	}
	l.mu.Unlock()
	n, err := l.Conn.Write(p[:n])
	if n < len(p) && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// TestAttackPartialFrame has a write of the link fail in the middle of a frame.
// That is the end of the connection, for whatever waits at either end, and at
// once: not of one write, with the other side left to wait for the rest. What was
// delivered is what was written, from the beginning.
func TestAttackPartialFrame(t *testing.T) {
	for _, cut := range []int{1, 8, 13, 40, 5000, 40_000, 65_560, 200_000} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, y := newPipe()
				link := &tornLink{Conn: x}
				a := mux.New(link, mux.Config{Dialed: true})
				b := mux.New(y, mux.Config{})
				near, far := openPair(t, a, b)
				idle, idleFar := openPair(t, a, b)
				synctest.Wait() // until nothing is left to be written
				link.tear(cut)
				var wg sync.WaitGroup
				start := time.Now()
				waits := func(what string, f func() error) {
					wg.Go(func() {
						err := f()
						if took := time.Since(start); err == nil || err == io.EOF || took > time.Second {
							t.Errorf("%s = %v after %v, want an error at once", what, err, took)
						}
					})
				}
				read := func(s transport.Stream) error { _, err := s.Read(make([]byte, 1)); return err }
				var got int64
				sent := 0
				waits("Write", func() (err error) { sent, err = near.Write(make([]byte, 1<<20)); return err })
				waits("Read at the other end", func() (err error) { got, err = io.Copy(io.Discard, far); return orEOF(err) })
				waits("Read", func() error { return read(near) })
				waits("Read of an idle stream", func() error { return read(idle) })
				waits("Read of an idle stream at the other end", func() error { return read(idleFar) })
				for _, c := range []*mux.Conn{a, b} {
					waits("AcceptStream", func() error { _, err := c.AcceptStream(t.Context()); return err })
				}
				done := make(chan struct{})
				go func() { wg.Wait(); close(done) }()
				select {
				case <-done:
				case <-time.After(time.Hour):
					t.Fatal("something hangs after an hour")
				}
				// The frame that was torn counts as not written, though a part of it
				// may have come: the connection's end says that nobody knows.
				if got > int64(cut) || got > int64(sent)+64<<10 {
					t.Errorf("%d bytes came of %d written, with the link torn after %d", got, sent, cut)
				}
				a.CloseWithError(kith.OK, "")
				b.CloseWithError(kith.OK, "")
			})
		})
	}
}

// orEOF makes an end that looks like a clean one visible.
func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// TestAttackSlowReader has one stream that nobody reads, full, beside a hundred
// that are used. Each round trip of those takes that of the link and the time of
// its bytes on it, and nothing more.
func TestAttackSlowReader(t *testing.T) {
	const (
		live   = 100
		rounds = 20
		rtt    = 100 * time.Millisecond
		size   = 1000
	)
	for _, dead := range []int{0, 1, 8} {
		t.Run(fmt.Sprint(dead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, y := newSimLink(linkOf100M, rtt, 64<<10)
				a, b := mux.New(x, mux.Config{Dialed: true}), mux.New(y, mux.Config{})
				var stuck sync.WaitGroup
				for range dead {
					near, _ := openPair(t, a, b)
					stuck.Go(func() { near.Write(make([]byte, 64<<20)) })
				}
				time.Sleep(time.Minute) // as full as it gets
				var echoes, calls sync.WaitGroup
				var mu sync.Mutex
				var worst time.Duration
				for range live {
					near, far := openPair(t, a, b)
					echoes.Go(func() {
						io.Copy(far, far)
						far.Close()
					})
					calls.Go(func() {
						defer near.Close()
						for range rounds {
							start := time.Now()
							near.Write(make([]byte, size))
							if _, err := io.ReadFull(near, make([]byte, size)); err != nil {
								t.Errorf("echo beside %d dead readers: %v", dead, err)
							}
							mu.Lock()
							worst = max(worst, time.Since(start))
							mu.Unlock()
						}
					})
				}
				calls.Wait()
				t.Logf("the slowest of %d round trips took %v", live*rounds, worst)
				// All may come at once: then the last waits for the bytes of all.
				all := time.Duration(live*(size+12)) * time.Second / linkOf100M
				if most := rtt + 2*all + time.Millisecond; worst > most {
					t.Errorf("a round trip took %v, want at most %v", worst, most)
				}
				a.CloseWithError(kith.OK, "")
				b.CloseWithError(kith.OK, "")
				echoes.Wait()
				stuck.Wait()
			})
		})
	}
}
