package memory_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns both ends of a connection on a transport of its own: the
// one that dialled first.
func connect(t testing.TB, cfg memory.Config) (dialed, accepted transport.Conn) {
	t.Helper()
	tr := memory.New(cfg)
	t.Cleanup(func() { tr.Close() })
	l, err := tr.Listen(t.Context(), transport.Addr{})
	if err != nil {
		t.Fatalf("Listen() = %v, want nil", err)
	}
	return link(t, tr, l)
}

// link dials l with tr.
func link(t testing.TB, tr transport.Transport, l transport.Listener) (dialed, accepted transport.Conn) {
	t.Helper()
	dialed, err := tr.Dial(t.Context(), l.Addr())
	if err != nil {
		t.Fatalf("Dial(%v) = %v, want nil", l.Addr(), err)
	}
	accepted, err = l.Accept(t.Context())
	if err != nil {
		t.Fatalf("Accept() = %v, want nil", err)
	}
	return dialed, accepted
}

// hosts returns a network with hosts "a" and "b", a connection from a to b,
// and checks at the end of the test that nothing is left on it.
func hosts(t *testing.T, cfg memory.NetworkConfig) *fixture {
	t.Helper()
	f := &fixture{T: t, net: memory.NewNetwork(cfg)}
	t.Cleanup(func() {
		f.net.Close()
		if got := f.net.Stats(); got != (memory.Stats{}) {
			t.Errorf("Stats() after Close = %+v, want zeros", got)
		}
	})
	f.a = f.net.Transport(memory.Config{Host: "a"})
	f.b = f.net.Transport(memory.Config{Host: "b"})
	var err error
	if f.l, err = f.b.Listen(t.Context(), transport.Addr{}); err != nil {
		t.Fatalf("Listen() = %v, want nil", err)
	}
	f.ac, f.bc = link(t, f.a, f.l)
	return f
}

type fixture struct {
	*testing.T
	net    *memory.Network
	a, b   *memory.Transport
	l      transport.Listener
	ac, bc transport.Conn // the ends at a and at b
}

// stream opens a stream from a to b and writes one byte, which b has read.
func (f *fixture) stream() (as, bs transport.Stream) {
	f.Helper()
	as, err := f.ac.OpenStream(f.Context())
	if err != nil {
		f.Fatalf("OpenStream() = %v, want nil", err)
	}
	if _, err := as.Write([]byte{0}); err != nil {
		f.Fatalf("Write() = %v, want nil", err)
	}
	bs, err = f.bc.AcceptStream(f.Context())
	if err != nil {
		f.Fatalf("AcceptStream() = %v, want nil", err)
	}
	f.read(bs, 1)
	return as, bs
}

// read reads n bytes.
func (f *fixture) read(s io.Reader, n int) {
	f.Helper()
	if k, err := io.CopyN(io.Discard, s, int64(n)); err != nil {
		f.Fatalf("read of %d bytes = %d, %v, want nil", n, k, err)
	}
}

// write writes n bytes.
func (f *fixture) write(s io.Writer, n int) {
	f.Helper()
	if k, err := s.Write(make([]byte, n)); err != nil {
		f.Fatalf("Write(%d bytes) = %d, %v, want nil", n, k, err)
	}
}

// fill writes until Write has blocked for a virtual second, and returns how
// much was taken.
func (f *fixture) fill(s transport.Stream) int {
	f.Helper()
	s.SetWriteDeadline(time.Now().Add(time.Second))
	n, err := s.Write(make([]byte, 1<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		f.Fatalf("Write(1 MiB) to who does not read = %d, %v, want os.ErrDeadlineExceeded", n, err)
	}
	s.SetWriteDeadline(time.Time{})
	return n
}

// took checks how much time has gone by since start.
func (f *fixture) took(what string, start time.Time, want time.Duration) {
	f.Helper()
	if got := time.Since(start); got != want {
		f.Errorf("%s took %v, want %v", what, got, want)
	}
}

// lost checks that c has ended, by the network.
func (f *fixture) lost(name string, c transport.Conn) {
	f.Helper()
	select {
	case <-c.Context().Done():
	default:
		f.Errorf("%s's end is open, want it lost", name)
		return
	}
	e := transport.ConnErr(c.Context())
	if e == nil || e.Code != kith.Unavailable || e.Err == nil || e.Remote {
		f.Errorf("%s's end ended with %v, want a lost connection", name, e)
	}
}

// alive checks that c has not ended.
func (f *fixture) alive(name string, c transport.Conn) {
	f.Helper()
	if err := context.Cause(c.Context()); err != nil {
		f.Errorf("%s's end ended with %v, want it open", name, err)
	}
}

func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}
