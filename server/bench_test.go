package server_test

import (
	"runtime"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

func benchTransports(b *testing.B, f func(b *testing.B, tr transport.Transport)) {
	for _, v := range []struct {
		name string
		tr   transport.Transport
	}{
		{"tcp", tcp.New(tcp.Config{HandshakeRate: -1})}, {"tcp plain", tcp.New(tcp.Config{Plaintext: true})}, {"quic", quic.New(quic.Config{})},
	} {
		b.Run(v.name, func(b *testing.B) { f(b, v.tr) })
		_ = v.tr.Close()
	}
}

// BenchmarkConnect is a connection, its hello, one call and its end.
func BenchmarkConnect(b *testing.B) {
	benchTransports(b, func(b *testing.B, tr transport.Transport) {
		r := start(b, tr, echoHandlers(), nil)
		for b.Loop() {
			c, err := dialAt(b.Context(), tr, r.addr)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := echo.Call(b.Context(), c, nil); err != nil {
				b.Fatal(err)
			}
			_ = c.Close(kith.OK, "")
		}
	})
}

// BenchmarkIdle shows what an idle connection costs, both ends together.
func BenchmarkIdle(b *testing.B) {
	benchTransports(b, func(b *testing.B, tr transport.Transport) {
		r := start(b, tr, echoHandlers(), nil)
		measure := func() (bytes, goroutines int) {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
		}
		r.dial(b)
		bytes, goroutines := measure()
		conns := 0
		for b.Loop() {
			if _, err := echo.Call(b.Context(), r.dial(b), nil); err != nil {
				b.Fatal(err)
			}
			conns++
		}
		more, running := measure()
		b.ReportMetric(float64(more-bytes)/float64(conns), "B/conn")
		b.ReportMetric(float64(running-goroutines)/float64(conns), "goroutines/conn")
	})
}
