package mux_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

func BenchmarkStreamThroughput(b *testing.B) {
	const size = 64 << 10
	var rawRate float64
	b.Run("raw", func(b *testing.B) {
		x, y := tcpPair(b)
		rawRate = throughput(b, size, x, y)
		x.Close()
		y.Close()
	})
	for name, link := range links {
		if name == "pipe" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			x, y := link(b)
			p, q := dialedConn(b, x), acceptedConn(b, y)
			s, _ := p.OpenStream(b.Context())
			s.Write([]byte("x"))
			r, _ := q.AcceptStream(b.Context())
			io.ReadFull(r, make([]byte, 1))
			if rate := throughput(b, size, s, r); rawRate > 0 {
				b.ReportMetric(rate/rawRate, "of-raw")
			}
		})
	}
}

func throughput(b *testing.B, size int, w io.Writer, r io.Reader) float64 {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, size)
		for range b.N {
			if _, err := io.ReadFull(r, buf); err != nil {
				b.Error(err)
				return
			}
		}
	})
	buf := make([]byte, size)
	b.ResetTimer()
	start := time.Now()
	for range b.N {
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.StopTimer()
	return float64(size) * float64(b.N) / time.Since(start).Seconds()
}

// laneEcho writes back what comes, or signals it.
type laneEcho struct {
	c    *mux.Conn
	buf  []byte
	back chan int // nil at the end that echoes
}

func (l *laneEcho) LaneStream(*mux.Stream) {}

func (l *laneEcho) LaneEnd() {}

func (l *laneEcho) LaneLed([]byte) (bool, error) { return false, nil }

func (l *laneEcho) LaneData(p []byte) error {
	if l.back != nil {
		l.back <- len(p)
		return nil
	}
	l.buf = append(l.buf[:mux.Headroom], p...)
	return l.c.WriteLane(l.buf)
}

func BenchmarkLanePingPong(b *testing.B) {
	const size = 32
	b.Run("raw", func(b *testing.B) {
		x, y := tcpPair(b)
		rawEcho(b, x, y, size)
	})
	b.Run("lane", func(b *testing.B) {
		x, y := tcpPair(b)
		p, q := dialedConn(b, x), acceptedConn(b, y)
		srv := &laneEcho{c: q, buf: make([]byte, mux.Headroom)}
		q.StartLane(srv)
		cl := &laneEcho{c: p, back: make(chan int, 1)}
		p.StartLane(cl)
		buf := make([]byte, mux.Headroom+size)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if err := p.WriteLane(buf); err != nil {
				b.Fatal(err)
			}
			for n := size; n > 0; n -= <-cl.back {
			}
		}
		b.StopTimer()
		p.CloseWithError(kith.OK, "")
	})
}

func rawEcho(b *testing.B, x, y net.Conn, size int) {
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := y.Read(buf)
			if err != nil {
				return
			}
			y.Write(buf[:n])
		}
	})
	back := make(chan int, 1)
	wg.Go(func() { // the same hand-over as on the lane
		buf := make([]byte, 4096)
		for {
			n, err := x.Read(buf)
			if err != nil {
				return
			}
			back <- n
		}
	})
	buf := make([]byte, size)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		x.Write(buf)
		for n := size; n > 0; n -= <-back {
		}
	}
	b.StopTimer()
	x.Close()
	y.Close()
	wg.Wait()
}

func BenchmarkStreamPingPong(b *testing.B) {
	for _, size := range []int{32, 64 << 10} {
		for name, link := range links {
			if name == "pipe" {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				x, y := link(b)
				p, q := dialedConn(b, x), acceptedConn(b, y)
				var wg sync.WaitGroup
				wg.Go(func() { echo(b, q, &wg) })
				s, err := p.OpenStream(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				buf := make([]byte, size)
				b.SetBytes(2 * int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Write(buf); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(s, buf); err != nil {
						b.Fatal(err)
					}
				}
				s.CloseWrite()
				io.ReadAll(s)
				s.Close()
				q.CloseWithError(kith.OK, "")
				wg.Wait()
			})
		}
	}
}

// BenchmarkStreamPerCall opens a stream for each round trip, from several
// goroutines.
func BenchmarkStreamPerCall(b *testing.B) {
	for _, size := range []int{32, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x, y := tcpPair(b)
			p, q := dialedConn(b, x), acceptedConn(b, y)
			var wg sync.WaitGroup
			wg.Go(func() { answer(b, q, size, &wg) })
			b.SetBytes(2 * int64(size))
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]byte, size)
				for pb.Next() {
					s, err := p.OpenStream(b.Context())
					if err != nil {
						b.Error(err)
						return
					}
					transport.WriteLast(s, buf)
					if _, err := io.ReadFull(s, buf); err != nil {
						b.Error(err)
						return
					}
					s.Close()
				}
			})
			q.CloseWithError(kith.OK, "")
			wg.Wait()
		})
	}
}

// answer sends back messages of a known size.
func answer(b *testing.B, c *mux.Conn, size int, wg *sync.WaitGroup) {
	for {
		s, err := c.AcceptStream(b.Context())
		if err != nil {
			return
		}
		wg.Go(func() {
			defer s.Close()
			buf := make([]byte, size)
			if _, err := io.ReadFull(s, buf); err == nil {
				transport.WriteLast(s, buf)
			}
		})
	}
}
