package netconn_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// local returns a transport over TCP on the loopback.
func local(cfg netconn.Config) *netconn.Transport {
	cfg.Scheme = "local"
	cfg.Dial = func(ctx context.Context, a transport.Addr) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", a.Host)
	}
	cfg.Listen = func(ctx context.Context, a transport.Addr) (net.Listener, error) {
		var lc net.ListenConfig
		return lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return netconn.New(cfg)
}

// connect returns both ends of a connection between two transports.
func connect(tb testing.TB, dialer, server *netconn.Transport) (dialed, accepted transport.Conn) {
	tb.Helper()
	tb.Cleanup(func() { dialer.Close(); server.Close() })
	ln, err := server.Listen(tb.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		tb.Fatal(err)
	}
	if dialed, err = dialer.Dial(tb.Context(), ln.Addr()); err != nil {
		tb.Fatal(err)
	}
	if accepted, err = ln.Accept(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return dialed, accepted
}

func BenchmarkStreamThroughput(b *testing.B) {
	b.Run("raw-tls", func(b *testing.B) {
		x, y := tlsPair(b)
		defer x.Close()
		defer y.Close()
		throughput(b, x, y)
	})
	for name, cfg := range map[string]netconn.Config{"tls": {}, "plain": {Plaintext: true}} {
		b.Run(name, func(b *testing.B) {
			x, y := connect(b, local(cfg), local(cfg))
			s, err := x.OpenStream(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			s.Write([]byte("x"))
			r, err := y.AcceptStream(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			io.ReadFull(r, make([]byte, 1))
			throughput(b, s, r)
		})
	}
}

func tlsPair(b *testing.B) (x, y *tls.Conn) {
	sk, ck := kith.NewKey(), kith.NewKey()
	scfg, _ := (&identity.Holder{Key: sk}).ServerTLS()
	ccfg, _ := (&identity.Holder{Key: ck}).ClientTLS(sk.ID())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	x, y = tls.Client(c, ccfg), tls.Server(s, scfg)
	var wg sync.WaitGroup
	wg.Go(func() { x.Handshake() })
	if err := y.Handshake(); err != nil {
		b.Fatal(err)
	}
	wg.Wait()
	return x, y
}

func throughput(b *testing.B, w io.Writer, r io.Reader) {
	const size = 64 << 10
	b.SetBytes(size)
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
	for range b.N {
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

// BenchmarkConnect measures a whole life: dial, handshake, one stream, close.
func BenchmarkConnect(b *testing.B) {
	for name, cfg := range map[string]netconn.Config{"tls": {HandshakeRate: -1}, "plain": {Plaintext: true}} {
		b.Run(name, func(b *testing.B) {
			dialer, server := local(cfg), local(cfg)
			defer dialer.Close()
			defer server.Close()
			ln, err := server.Listen(b.Context(), transport.Addr{Host: "127.0.0.1:0"})
			if err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer ln.Close()
			wg.Go(func() {
				for {
					c, err := ln.Accept(b.Context())
					if err != nil {
						return
					}
					s, err := c.AcceptStream(b.Context())
					if err != nil {
						b.Error(err)
						return
					}
					transport.WriteLast(s, []byte("x"))
					s.Close()
					<-c.Context().Done()
					c.CloseWithError(kith.OK, "")
				}
			})
			for b.Loop() {
				c, err := dialer.Dial(b.Context(), ln.Addr())
				if err != nil {
					b.Fatal(err)
				}
				s, err := c.OpenStream(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				transport.WriteLast(s, []byte("x"))
				if _, err := io.ReadAll(s); err != nil {
					b.Fatal(err)
				}
				s.Close()
				c.CloseWithError(kith.OK, "")
			}
		})
	}
}
