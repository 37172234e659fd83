package transport_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kith-go/kith/transport"
)

// dummy is a Transport that notes what is asked of it, and does nothing.
type dummy struct {
	dialed, listened transport.Addr
	closed           int
	closeErr         error
}

var errDummy = errors.New("dummy")

func (d *dummy) Dial(_ context.Context, a transport.Addr) (transport.Conn, error) {
	d.dialed = a
	return nil, errDummy
}

func (d *dummy) Listen(_ context.Context, a transport.Addr) (transport.Listener, error) {
	d.listened = a
	return nil, errDummy
}

func (d *dummy) Close() error {
	d.closed++
	return d.closeErr
}

func TestRouter(t *testing.T) {
	quic, tcp := &dummy{}, &dummy{}
	for _, tt := range []struct {
		name   string
		router transport.Router
		addr   string
		want   *dummy // nil for none
		text   string
	}{
		{"by scheme", transport.Router{"quic": quic, "tcp": tcp}, "tcp://host:1", tcp, ""},
		{"by scheme, one only", transport.Router{"quic": quic}, "quic://host:1", quic, ""},
		{"no scheme, one only", transport.Router{"quic": quic}, "host:1", quic, ""},
		{"no scheme, two", transport.Router{"quic": quic, "tcp": tcp}, "host:1", nil, `scheme "", have quic, tcp`},
		{"no scheme, two, a default", transport.Router{"quic": quic, "": tcp}, "host:1", tcp, ""},
		{"unknown scheme", transport.Router{"quic": quic, "tcp": tcp}, "udp://host:1", nil, `scheme "udp", have quic, tcp`},
		{"unknown scheme, one only", transport.Router{"quic": quic}, "udp://host:1", nil, `scheme "udp", have quic`},
		{"empty", transport.Router{}, "quic://host:1", nil, `scheme "quic"`},
		{"nil", nil, "host:1", nil, `scheme ""`},
	} {
		a, err := transport.ParseAddr(tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		*quic, *tcp = dummy{}, dummy{}
		_, dialErr := tt.router.Dial(t.Context(), a)
		_, listenErr := tt.router.Listen(t.Context(), a)
		for _, err := range []error{dialErr, listenErr} {
			switch {
			case tt.want != nil && err != errDummy:
				t.Errorf("%s: Router of %q = %v, want the transport's %v", tt.name, tt.addr, err, errDummy)
			case tt.want == nil && (err == errDummy || !strings.Contains(err.Error(), tt.text)):
				t.Errorf("%s: Router of %q = %v, want an error with %q", tt.name, tt.addr, err, tt.text)
			}
		}
		for _, d := range []*dummy{quic, tcp} {
			want := transport.Addr{}
			if d == tt.want {
				want = a
			}
			if d.dialed != want || d.listened != want {
				t.Errorf("%s: a transport got %v and %v, want %v", tt.name, d.dialed, d.listened, want)
			}
		}
	}
}

func TestRouterClose(t *testing.T) {
	a, b, c := &dummy{closeErr: io.ErrClosedPipe}, &dummy{closeErr: io.ErrNoProgress}, &dummy{}
	err := transport.Router{"a": a, "b": b, "c": c}.Close()
	if !errors.Is(err, io.ErrClosedPipe) || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Close() = %v, want both errors", err)
	}
	if a.closed != 1 || b.closed != 1 || c.closed != 1 {
		t.Errorf("Close() closed %d, %d, %d times, want once each", a.closed, b.closed, c.closed)
	}
	if err := (transport.Router{"c": c}).Close(); err != nil {
		t.Errorf("Close() = %v, want no error", err)
	}
}
