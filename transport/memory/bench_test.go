package memory_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// echo answers each 32 bytes until s ends.
func echo(s io.ReadWriter) {
	buf := make([]byte, 32)
	for {
		if _, err := io.ReadFull(s, buf); err != nil {
			return
		}
		if _, err := s.Write(buf); err != nil {
			return
		}
	}
}

func pingPong(b *testing.B, s io.ReadWriter) {
	buf := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPingPong(b *testing.B) {
	dialed, accepted := connect(b, memory.Config{})
	go func() {
		if s, err := accepted.AcceptStream(b.Context()); err == nil {
			echo(s)
		}
	}()
	s, err := dialed.OpenStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	pingPong(b, s)
}

// BenchmarkPingPongNetPipe is what the standard library's pipe takes.
func BenchmarkPingPongNetPipe(b *testing.B) {
	near, far := net.Pipe()
	defer near.Close()
	go echo(far)
	pingPong(b, near)
}

// BenchmarkPingPongOverLink goes through a link's machinery, at no delay worth
// the name: what it adds is mostly a timer of the operating system.
func BenchmarkPingPongOverLink(b *testing.B) {
	n := memory.NewNetwork(memory.NetworkConfig{Link: memory.Link{Latency: 1}})
	defer n.Close()
	l, err := n.Transport(memory.Config{}).Listen(b.Context(), transport.Addr{})
	if err != nil {
		b.Fatal(err)
	}
	dialed, accepted := link(b, n.Transport(memory.Config{}), l)
	go func() {
		if s, err := accepted.AcceptStream(b.Context()); err == nil {
			echo(s)
		}
	}()
	s, err := dialed.OpenStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	pingPong(b, s)
}

// BenchmarkStreamPerCall opens a stream for 32 bytes each way.
func BenchmarkStreamPerCall(b *testing.B) {
	dialed, accepted := connect(b, memory.Config{})
	go func() {
		buf := make([]byte, 32)
		for {
			s, err := accepted.AcceptStream(b.Context())
			if err != nil {
				return
			}
			io.ReadFull(s, buf)
			transport.WriteLast(s, buf)
			s.Close()
		}
	}()
	buf := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		s, err := dialed.OpenStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := transport.WriteLast(s, buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func BenchmarkThroughput(b *testing.B) {
	const size = 64 << 10
	dialed, accepted := connect(b, memory.Config{})
	go func() {
		if s, err := accepted.AcceptStream(b.Context()); err == nil {
			for buf := make([]byte, size); err == nil; {
				_, err = s.Read(buf)
			}
		}
	}()
	s, err := dialed.OpenStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeadlinePerCall sets deadlines as a careful caller does.
func BenchmarkDeadlinePerCall(b *testing.B) {
	dialed, accepted := connect(b, memory.Config{})
	go func() {
		if s, err := accepted.AcceptStream(b.Context()); err == nil {
			echo(s)
		}
	}()
	s, err := dialed.OpenStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		s.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDial(b *testing.B) {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	l, err := tr.Listen(b.Context(), transport.Addr{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		dialed, accepted := link(b, tr, l)
		dialed.CloseWithError(0, "")
		accepted.CloseWithError(0, "")
	}
}
