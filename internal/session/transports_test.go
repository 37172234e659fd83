package session_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// overTransports runs f over each transport, with the address to listen at.
func overTransports(t *testing.T, f func(t *testing.T, tr transport.Transport)) {
	loopback := transport.Addr{Host: "127.0.0.1:0"}
	for _, tc := range []struct {
		name string
		make func(t *testing.T) transport.Transport
	}{
		{"memory", func(*testing.T) transport.Transport { return memory.New(memory.Config{}) }},
		{"tcp", func(*testing.T) transport.Transport { return listenAt{tcp.New(tcp.Config{}), loopback} }},
		{"tcp-plain", func(*testing.T) transport.Transport { return listenAt{tcp.New(tcp.Config{Plaintext: true}), loopback} }},
		{"quic", func(*testing.T) transport.Transport { return listenAt{quic.New(quic.Config{}), loopback} }},
		{"unix", func(t *testing.T) transport.Transport {
			return listenAt{unixTransport(), transport.Addr{Path: socketPath(t)}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := tc.make(t)
			t.Cleanup(func() { _ = tr.Close() })
			f(t, tr)
		})
	}
}

// listenAt listens at one address, whatever it is told.
type listenAt struct {
	transport.Transport
	addr transport.Addr
}

func (l listenAt) Listen(ctx context.Context, _ transport.Addr) (transport.Listener, error) {
	return l.Transport.Listen(ctx, l.addr)
}

func unixTransport() transport.Transport {
	var d net.Dialer
	var lc net.ListenConfig
	return netconn.New(netconn.Config{
		Scheme: "unix",
		Dial: func(ctx context.Context, a transport.Addr) (net.Conn, error) {
			return d.DialContext(ctx, "unix", a.Path)
		},
		Listen: func(ctx context.Context, a transport.Addr) (net.Listener, error) {
			return lc.Listen(ctx, "unix", a.Path)
		},
	})
}

// socketPath is short enough for a unix socket, which t.TempDir may not be.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestCallsOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		told := make(chan string, 1)
		p := connect(t, tr, allKinds(told), nil)
		testAllKinds(t, p.dialed, told)
		testAllKinds(t, p.accepted, told)
	})
}

func TestDrainOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) { testDrainLosesNothing(t, tr) })
}

// A call ends with its ctx, and its handler's ctx ends too; a lost connection
// ends both.
func TestEndsOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		ended, began := make(chan error, 8), make(chan struct{}, 8)
		h := hanging(ended)
		h.Use(func(next kith.Handler) kith.Handler {
			return func(ctx context.Context, c kith.Call) error {
				began <- struct{}{}
				return next(ctx, c)
			}
		})
		p := connect(t, tr, h, nil)
		for name, call := range calls {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-began
				cancel()
			}()
			if err := call(ctx, p.dialed); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: call = %v, want %v", name, err, context.Canceled)
			}
			<-p.workers.Quiet() // the handler, which waits for its ctx, has returned
		}
		lost := make(chan error, len(calls))
		for _, call := range calls {
			go func() { lost <- call(t.Context(), p.dialed) }()
		}
		for range calls {
			<-began
		}
		_ = p.accepted.Close(kith.Unavailable, "gone")
		for range calls {
			if err := <-lost; kith.CodeOf(err) != kith.Unavailable || kith.Unprocessed(err) {
				t.Errorf("call on a lost connection = %v, want Unavailable", err)
			}
		}
		<-p.workers.Quiet()
	})
}

// A call returns with its ctx while the other side reads nothing any more.
func TestStuckOverTransports(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		block := make(chan struct{})
		var h kith.Handlers
		stuck := kith.Bidi[[]byte, []byte]("test/Stuck")
		stuck.Handle(&h, func(ctx context.Context, _ *kith.Duplex[[]byte, []byte]) error {
			<-block
			return nil
		})
		p := connect(t, tr, &h, nil)
		defer close(block)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		d, err := stuck.Call(ctx, p.dialed)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		defer d.Close()
		piece := make([]byte, 1<<20)
		for err == nil {
			err = d.Send(piece) // until the stream's window is full
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}
