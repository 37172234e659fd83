package session_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport/admit"
)

// tcpPair returns both ends of a loopback TCP connection.
func tcpPair(b *testing.B) (x, y *net.TCPConn) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	z, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = a.Close(), z.Close() })
	return a.(*net.TCPConn), z.(*net.TCPConn)
}

// tcpSession returns a session over plaintext TCP, whose other end echoes.
func tcpSession(b *testing.B) *session.Session {
	x, y := tcpPair(b)
	w := session.NewWorkers(-1)
	cfg := session.Config{Handlers: echoHandlers(), Workers: w, Admit: admit.Anyone()}.Defaults()
	ch := make(chan *session.Session, 1)
	go func() {
		s, err := session.Accept(b.Context(), mux.New(y, mux.Config{}), &cfg)
		if err != nil {
			b.Error(err)
		}
		ch <- s
	}()
	s, err := session.Dial(b.Context(), mux.New(x, mux.Config{Dialed: true}), dialConfig())
	if err != nil {
		b.Fatal(err)
	}
	accepted := <-ch
	b.Cleanup(func() {
		_ = s.Close(kith.OK, "")
		_ = accepted.Close(kith.OK, "")
		w.Close()
	})
	return s
}

// benchEcho shares b.N calls among callers.
func benchEcho(b *testing.B, s kith.Caller, callers, size int) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	before := cpuTime()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			p := make([]byte, size)
			var m median
			for left.Add(-1) >= 0 {
				start := time.Now()
				if _, err := echo.Call(ctx, s, p); err != nil {
					b.Error(err)
					return
				}
				m.add(start, callers)
			}
			m.report(b, callers)
		})
	}
	wg.Wait()
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func BenchmarkEcho(b *testing.B) {
	for _, bm := range []struct {
		name          string
		callers, size int
	}{{"1x32", 1, 32}, {"64x32", 64, 32}, {"512x1K", 512, 1 << 10}, {"16x64K", 16, 64 << 10}} {
		b.Run(bm.name+"/kith", func(b *testing.B) { benchEcho(b, tcpSession(b), bm.callers, bm.size) })
		if bm.callers == 1 {
			b.Run(bm.name+"/raw", func(b *testing.B) { rawPingPong(b, bm.size) })
		} else {
			b.Run(bm.name+"/raw", func(b *testing.B) { rawPipelined(b, bm.callers, bm.size) })
		}
	}
}

// median takes the median latency of a lone caller.
type median struct{ took []time.Duration }

func (m *median) add(start time.Time, callers int) {
	if callers == 1 {
		m.took = append(m.took, time.Since(start))
	}
}

func (m *median) report(b *testing.B, callers int) {
	if callers == 1 && len(m.took) > 0 {
		slices.Sort(m.took)
		b.ReportMetric(float64(m.took[len(m.took)/2]), "p50-ns")
	}
}

func rawPingPong(b *testing.B, size int) {
	x, y := tcpPair(b)
	go func() {
		p := make([]byte, size)
		for {
			if _, err := io.ReadFull(y, p); err != nil {
				return
			}
			if _, err := y.Write(p); err != nil {
				return
			}
		}
	}()
	p := make([]byte, size)
	var m median
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		if _, err := x.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(x, p); err != nil {
			b.Fatal(err)
		}
		m.add(start, 1)
	}
	m.report(b, 1)
}

// rawPipelined keeps a window of 4-byte length frames under way, written in
// batches: as fast as TCP goes.
func rawPipelined(b *testing.B, window, size int) {
	x, y := tcpPair(b)
	b.SetBytes(int64(size))
	go rawEcho(y, size)
	tokens := make(chan struct{}, window)
	go func() {
		w := bufio.NewWriterSize(x, 64<<10)
		frame := binary.BigEndian.AppendUint32(nil, uint32(size))
		frame = append(frame, make([]byte, size)...)
		for range b.N {
			select {
			case tokens <- struct{}{}:
			default:
				if w.Flush() != nil {
					return
				}
				tokens <- struct{}{}
			}
			if _, err := w.Write(frame); err != nil {
				return
			}
		}
		_ = w.Flush()
	}()
	r := bufio.NewReaderSize(x, 64<<10)
	p := make([]byte, 4+size)
	b.ResetTimer()
	for range b.N {
		if _, err := io.ReadFull(r, p); err != nil {
			b.Fatal(err)
		}
		<-tokens
	}
}

func rawEcho(c net.Conn, size int) {
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 64<<10)
	p := make([]byte, 4+size)
	for {
		if _, err := io.ReadFull(r, p); err != nil {
			return
		}
		if _, err := w.Write(p); err != nil {
			return
		}
		if r.Buffered() < len(p) && w.Flush() != nil {
			return
		}
	}
}

func dialConfig() *session.Config {
	c := session.Config{}.Defaults()
	return &c
}
