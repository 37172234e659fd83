package mux_test

import (
	"errors"
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

// stuckLinks makes links whose other end grants all credit and then reads
// nothing, by the way in which the mux writes to them.
var stuckLinks = map[string]func(testing.TB) (link, peer net.Conn){
	"direct": func(t testing.TB) (net.Conn, net.Conn) { return tcpPair(t) },
	"copied": func(t testing.TB) (net.Conn, net.Conn) {
		a, b := tcpPair(t)
		return opaque{a}, b
	},
}

// fullLink returns a connection whose link takes nothing more: a Write to s
// is blocked in it. The stream's peer end is only a socket that is not read.
func fullLink(t *testing.T, link, peer net.Conn) (c *mux.Conn, s transport.Stream, wrote chan error) {
	t.Helper()
	t.Cleanup(func() { peer.Close() })
	c = dialedConn(t, link)
	peer.Write([]byte(mux.Preface))
	r := raw{t, peer}
	r.frame(0x40, 0, u64(1<<40))
	s, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	// The stream must exist at the peer before it gets credit; both of them
	// are the test's.
	buf := make([]byte, 8+12+16+64)
	if _, err := io.ReadAtLeast(peer, buf, 8+12+1); err != nil {
		t.Fatal(err)
	}
	r.frame(0x40, 1, u64(1<<40))
	wrote = make(chan error, 1)
	go func() {
		big := make([]byte, 256<<10)
		for {
			_, err := s.Write(big)
			for i := range big {
				big[i]++ // the race detector sees who still looks at it
			}
			if err != nil {
				wrote <- err
				return
			}
		}
	}()
	// A while in which the link fills up. Were it too short, the test would
	// only be about a Write that is not stuck yet.
	select {
	case err := <-wrote:
		t.Fatalf("Write() = %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	return c, s, wrote
}

func TestStuckWrite(t *testing.T) {
	within := func(t *testing.T, wrote chan error, ok func(error) bool) {
		t.Helper()
		select {
		case err := <-wrote:
			if !ok(err) {
				t.Errorf("Write() = %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Write is still blocked")
		}
	}
	closed := func(err error) bool { return errors.Is(err, transport.ErrClosed) }
	for name, f := range map[string]func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error){
		"deadline": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			s.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			within(t, wrote, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) })
		},
		"deadline in the past": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			s.SetWriteDeadline(time.Unix(1, 0))
			within(t, wrote, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) })
		},
		"reset": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			s.Reset(kith.Aborted)
			within(t, wrote, closed)
		},
		"close": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			s.Close()
			within(t, wrote, closed)
		},
		"half-close": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			s.CloseWrite()
			within(t, wrote, closed)
		},
		"connection": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			start := time.Now()
			c.CloseWithError(kith.Unavailable, "enough")
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("CloseWithError took %v", took)
			}
			within(t, wrote, closed)
		},
		"lane": func(t *testing.T, c *mux.Conn, s transport.Stream, wrote chan error) {
			lane := make(chan error, 1)
			go func() {
				var err error
				for err == nil { // until the link is full, too
					err = c.WriteLane(make([]byte, mux.Headroom+1000))
				}
				lane <- err
			}()
			c.CloseWithError(kith.Unavailable, "enough")
			within(t, lane, closed)
			within(t, wrote, closed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, link := range stuckLinks {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					a, b := link(t)
					c, s, wrote := fullLink(t, a, b)
					f(t, c, s, wrote)
				})
			}
		})
	}
}

// TestInterruptedFrame interrupts writes at random and expects that what Write
// counted is exactly what the other side reads.
func TestInterruptedFrame(t *testing.T) {
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			x, y := link(t)
			a, b := dialedConn(t, x), acceptedConn(t, y)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				r, err := b.AcceptStream(t.Context())
				if err != nil {
					t.Errorf("AcceptStream() = %v", err)
					return
				}
				defer r.Close()
				n := 0
				buf := make([]byte, 100<<10)
				for {
					k, err := r.Read(buf)
					for _, c := range buf[:k] {
						if c != byte(n)^byte(n>>8)^byte(n>>16) {
							t.Errorf("byte %d is wrong", n)
							return
						}
						n++
					}
					if err == io.EOF {
						break
					} else if err != nil {
						t.Errorf("Read() = %v", err)
						return
					}
				}
				transport.WriteLast(r, u64(uint64(n)))
			})
			s, err := a.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			n, hits := 0, 0
			buf := make([]byte, 300<<10)
			for hits < 50 && n < 200<<20 {
				for i := range buf {
					buf[i] = byte(n+i) ^ byte((n+i)>>8) ^ byte((n+i)>>16)
				}
				s.SetWriteDeadline(time.Now().Add(time.Duration(hits*3) * time.Microsecond))
				k, err := s.Write(buf)
				clear(buf)
				if n += k; err != nil {
					hits++
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("Write() = %v", err)
					}
				}
			}
			s.SetWriteDeadline(time.Time{})
			s.CloseWrite()
			got, err := io.ReadAll(s)
			if err != nil || string(got) != string(u64(uint64(n))) {
				t.Errorf("the other side read %x, %v; Write counted %x", got, err, u64(uint64(n)))
			}
		})
	}
}

// TestGreedyStream has small writes beside a stream that writes as much as it
// can. They all get on.
func TestGreedyStream(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		var wg sync.WaitGroup
		defer wg.Wait()
		defer b.CloseWithError(kith.OK, "")
		defer a.CloseWithError(kith.OK, "")
		wg.Go(func() {
			for {
				s, err := b.AcceptStream(t.Context())
				if err != nil {
					return
				}
				wg.Go(func() {
					buf := make([]byte, 64<<10)
					for {
						n, err := s.Read(buf)
						if err != nil {
							s.Close()
							return
						}
						if n == 1 {
							s.Write(buf[:1])
						}
					}
				})
			}
		})
		greedy, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total := make(chan int, 1)
		wg.Go(func() {
			n := 0
			for buf := make([]byte, 256<<10); ; n++ {
				if _, err := greedy.Write(buf); err != nil {
					break
				}
			}
			total <- n
		})
		small, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var worst time.Duration
		for range 200 {
			start := time.Now()
			if _, err := small.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(small, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(start))
		}
		greedy.Close()
		small.Close()
		t.Logf("%d large writes beside 200 small round trips, the slowest of %v", <-total, worst)
		if worst > 5*time.Second {
			t.Errorf("a small round trip took %v beside a greedy stream", worst)
		}
	})
}

// TestStuckInVirtualTime is about a link that never takes anything again: in a
// bubble a hang is found at once.
func TestStuckInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newPipe()
		c := mux.New(a, mux.Config{Dialed: true})
		s, err := c.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s.SetWriteDeadline(start.Add(time.Minute))
		_, err = s.Write(make([]byte, 1<<20))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != time.Minute {
			t.Errorf("Write() = %v after %v, want a deadline after 1m", err, took)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write() after the deadline = %v", err)
		}
		start = time.Now()
		c.CloseWithError(kith.OK, "")
		if took := time.Since(start); took > 1200*time.Millisecond {
			t.Errorf("CloseWithError took %v, want a second at most, and the linger", took)
		}
	})
}
