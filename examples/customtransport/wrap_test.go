package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/tcp"
)

// hidden is a wrapper without Unwrap.
type hidden struct{ transport.Conn }

// hiding is a transport whose dialled connections are hidden.
type hiding struct{ transport.Transport }

func (t hiding) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	c, err := t.Transport.Dial(ctx, a)
	if err != nil {
		return nil, err
	}
	return hidden{c}, nil
}

// A wrapped connection serves like one that is not, with Unwrap or without; and
// with it small calls are no streams.
func TestWrapped(t *testing.T) {
	echo := kith.Unary[[]byte, []byte]("wrap/Echo")
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		t.Fatal(err)
	}
	far := tcp.New(tcp.Config{})
	defer func() { _ = far.Close() }()
	l, err := far.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), l) }()
	defer func() { _, _ = srv.Close(), <-served }()

	for _, tt := range []struct {
		name                   string
		wrap                   func(transport.Transport) transport.Transport
		afterSmall, afterLarge int64 // streams seen
	}{
		{"counted", func(t transport.Transport) transport.Transport { return &counting{Transport: t} }, 0, 1},
		{"counted, and hidden above", func(t transport.Transport) transport.Transport {
			return &counting{Transport: hiding{t}}
		}, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near := tt.wrap(tcp.New(tcp.Config{}))
			defer func() { _ = near.Close() }()
			c, err := client.Dial(t.Context(), client.Config{Transport: near, Addrs: []string{l.Addr().String()}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			for _, call := range []struct {
				size int
				want int64
			}{{10, tt.afterSmall}, {100_000, tt.afterLarge}} {
				p := bytes.Repeat([]byte("x"), call.size)
				if got, err := echo.Call(t.Context(), c, p); err != nil || !bytes.Equal(got, p) {
					t.Errorf("Echo(%d bytes) = %d bytes, %v", call.size, len(got), err)
				}
				if n := near.(*counting).streams.Load(); n != call.want {
					t.Errorf("%d streams after a call of %d bytes, want %d", n, call.size, call.want)
				}
			}
		})
	}
}
