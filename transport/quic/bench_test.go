package quic_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	quicgo "github.com/quic-go/quic-go"
)

// rawPair is a connection of quic-go, set up as Transport does it.
func rawPair(b *testing.B) (dialed, accepted *quicgo.Conn) {
	b.Helper()
	key := kith.NewKey()
	st, err := (&identity.Holder{Key: key}).ServerTLS()
	if err != nil {
		b.Fatal(err)
	}
	ct, err := (&identity.Holder{Key: key}).ClientTLS(key.ID())
	if err != nil {
		b.Fatal(err)
	}
	open := func() *quicgo.Transport {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		tr := &quicgo.Transport{Conn: pc, ConnectionIDLength: 8}
		b.Cleanup(func() {
			tr.Close()
			pc.Close()
		})
		return tr
	}
	conf := quic.QUICConfig()
	l, err := open().Listen(st, conf)
	if err != nil {
		b.Fatal(err)
	}
	if dialed, err = open().Dial(b.Context(), l.Addr(), ct, conf); err != nil {
		b.Fatal(err)
	}
	if accepted, err = l.Accept(b.Context()); err != nil {
		b.Fatal(err)
	}
	return dialed, accepted
}

func kithPair(b *testing.B) (dialed, accepted transport.Conn) {
	b.Helper()
	d, s := quic.New(quic.Config{}), quic.New(quic.Config{})
	b.Cleanup(func() {
		d.Close()
		s.Close()
	})
	l, err := s.Listen(b.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	if dialed, err = d.Dial(b.Context(), l.Addr()); err != nil {
		b.Fatal(err)
	}
	if accepted, err = l.Accept(b.Context()); err != nil {
		b.Fatal(err)
	}
	return dialed, accepted
}

const benchBytes = 32

// A stream per call: 32 bytes there and back.
func BenchmarkStreamPerCall(b *testing.B) {
	b.Run("quic-go", func(b *testing.B) {
		d, a := rawPair(b)
		go func() {
			for {
				s, err := a.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					defer s.ReleaseStreamCredit()
					p := make([]byte, benchBytes)
					io.ReadFull(s, p)
					s.Read(p[:1]) // the end
					s.Write(p)
					s.Close()
				}()
			}
		}()
		b.ReportAllocs()
		p := make([]byte, benchBytes+1)
		for b.Loop() {
			s, err := d.OpenStreamSync(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			s.Write(p[:benchBytes])
			s.Close()
			if n, err := io.ReadFull(s, p); n != benchBytes || err != io.ErrUnexpectedEOF {
				b.Fatal(n, err)
			}
			s.CancelRead(0)
		}
	})
	b.Run("kith", func(b *testing.B) {
		d, a := kithPair(b)
		go func() {
			for {
				s, err := a.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					defer s.Close()
					p := make([]byte, benchBytes)
					io.ReadFull(s, p)
					s.Read(p[:1])
					transport.WriteLast(s, p)
				}()
			}
		}()
		b.ReportAllocs()
		p := make([]byte, benchBytes+1)
		for b.Loop() {
			s, err := d.OpenStream(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			transport.WriteLast(s, p[:benchBytes])
			if n, err := io.ReadFull(s, p); n != benchBytes || err != io.ErrUnexpectedEOF {
				b.Fatal(n, err)
			}
			s.Close()
		}
	})
}

// One long stream: 32 bytes there and back.
func BenchmarkPingPong(b *testing.B) {
	pingPong := func(b *testing.B, near, far io.ReadWriter) {
		go func() {
			p := make([]byte, benchBytes)
			for {
				if _, err := io.ReadFull(far, p); err != nil {
					return
				}
				far.Write(p)
			}
		}()
		b.ReportAllocs()
		p := make([]byte, benchBytes)
		for b.Loop() {
			near.Write(p)
			if _, err := io.ReadFull(near, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("quic-go", func(b *testing.B) {
		d, a := rawPair(b)
		near, err := d.OpenStream()
		if err != nil {
			b.Fatal(err)
		}
		near.Write([]byte{1})
		far, err := a.AcceptStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		far.Read(make([]byte, 1))
		pingPong(b, near, far)
	})
	b.Run("kith", func(b *testing.B) {
		d, a := kithPair(b)
		near, err := d.OpenStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		near.Write([]byte{1})
		far, err := a.AcceptStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		far.Read(make([]byte, 1))
		pingPong(b, near, far)
	})
}

// One way, in messages of 64 KiB.
func BenchmarkBulk(b *testing.B) {
	bulk := func(b *testing.B, near io.Writer, far io.Reader) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := make([]byte, 64<<10)
			for {
				if _, err := far.Read(p); err != nil {
					return
				}
			}
		}()
		p := make([]byte, 64<<10)
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			near.Write(p)
		}
	}
	b.Run("quic-go", func(b *testing.B) {
		d, a := rawPair(b)
		near, err := d.OpenStream()
		if err != nil {
			b.Fatal(err)
		}
		near.Write([]byte{1})
		far, err := a.AcceptStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		bulk(b, near, far)
	})
	b.Run("kith", func(b *testing.B) {
		d, a := kithPair(b)
		near, err := d.OpenStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		near.Write([]byte{1})
		far, err := a.AcceptStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		bulk(b, near, far)
	})
}

func BenchmarkDial(b *testing.B) {
	d, s := quic.New(quic.Config{}), quic.New(quic.Config{})
	defer d.Close()
	defer s.Close()
	l, err := s.Listen(b.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c, err := d.Dial(b.Context(), l.Addr())
		if err != nil {
			b.Fatal(err)
		}
		a, err := l.Accept(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c.CloseWithError(0, "")
		<-a.Context().Done()
	}
}
