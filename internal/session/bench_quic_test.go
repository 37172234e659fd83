package session_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// BenchmarkQUIC compares 64 callers over QUIC with quic-go alone at one stream
// per call.
func BenchmarkQUIC(b *testing.B) {
	for _, bm := range []struct {
		name    string
		callers int
	}{{"1x32", 1}, {"64x32", 64}} {
		b.Run(bm.name+"/kith", func(b *testing.B) {
			tr := quic.New(quic.Config{})
			defer func() { _ = tr.Close() }()
			p := connect(b, listenAt{tr, transport.Addr{Host: "127.0.0.1:0"}}, echoHandlers(), nil)
			benchEcho(b, p.dialed, bm.callers, 32)
		})
		b.Run(bm.name+"/raw-stream-per-call", func(b *testing.B) { rawQUIC(b, bm.callers, 32) })
	}
}

// rawQUIC echoes over quic-go, one stream per call.
func rawQUIC(b *testing.B, callers, size int) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	l, err := quicgo.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"raw"},
	}, &quicgo.Config{MaxIncomingStreams: 1024})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go rawQUICServer(b.Context(), l)
	conn, err := quicgo.DialAddr(b.Context(), l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"raw"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.CloseWithError(0, "") }()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	before := cpuTime()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			p := make([]byte, size)
			for left.Add(-1) >= 0 {
				if err := rawQUICCall(b.Context(), conn, p); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func rawQUICCall(ctx context.Context, conn *quicgo.Conn, p []byte) error {
	st, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := st.Write(p); err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	_, err = io.ReadFull(st, p)
	if err == nil {
		_, err = st.Read(p[:1]) // the end
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

func rawQUICServer(ctx context.Context, l *quicgo.Listener) {
	conn, err := l.Accept(ctx)
	if err != nil {
		return
	}
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			p, err := io.ReadAll(st)
			if err == nil {
				_, _ = st.Write(p)
			}
			_ = st.Close()
		}()
	}
}

var flood = kith.ClientStream[[]byte, int]("test/Flood")

// BenchmarkStream compares a stream of 64 KiB messages over plaintext TCP with
// TCP alone.
func BenchmarkStream(b *testing.B) {
	const size = 64 << 10
	b.Run("kith", func(b *testing.B) {
		h := echoHandlers()
		flood.Handle(h, countBytes)
		tr := tcp.New(tcp.Config{Plaintext: true})
		defer func() { _ = tr.Close() }()
		p := connect(b, listenAt{tr, transport.Addr{Host: "127.0.0.1:0"}}, h, func(*session.Config) {})
		d, err := flood.Call(b.Context(), p.dialed)
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		piece := make([]byte, size)
		b.SetBytes(size)
		b.ResetTimer()
		for range b.N {
			if err := d.Send(piece); err != nil {
				b.Fatal(err)
			}
		}
		if n, err := d.CloseAndRecv(); n != size*b.N || err != nil {
			b.Fatalf("%d bytes arrived of %d, %v", n, size*b.N, err)
		}
	})
	b.Run("raw", func(b *testing.B) {
		x, y := tcpPair(b)
		done := make(chan int64, 1)
		go func() {
			n, _ := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{y}, make([]byte, size))
			done <- n
		}()
		piece := make([]byte, size)
		b.SetBytes(size)
		b.ResetTimer()
		for range b.N {
			if _, err := x.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		_ = x.CloseWrite()
		if n := <-done; n != int64(size*b.N) {
			b.Fatalf("%d bytes arrived of %d", n, size*b.N)
		}
	})
}

// onlyReader and onlyWriter hide the methods by which io.Copy would take a
// short cut.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
