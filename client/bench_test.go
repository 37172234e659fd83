package client_test

import (
	"context"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport/memory"
)

// BenchmarkInvoke compares a call through a client with one through the bare
// session under it.
func BenchmarkInvoke(b *testing.B) {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	s := serve(b, tr, "srv", func(s *testServer) {
		s.cfg.Handlers = new(kith.Handlers)
		echo.Handle(s.cfg.Handlers, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	})
	conn, err := tr.Dial(b.Context(), s.l.Addr())
	if err != nil {
		b.Fatalf("Dial = %v", err)
	}
	cfg := session.Config{}.Defaults()
	sess, err := session.Dial(b.Context(), conn, &cfg)
	if err != nil {
		b.Fatalf("session.Dial = %v", err)
	}
	defer sess.Close(kith.OK, "")
	addrs := []string{s.l.Addr().String()}
	nothing := func(next kith.Handler) kith.Handler { return next }
	for _, tc := range []struct {
		name string
		c    kith.Caller
	}{
		{"session", sess},
		{"client", dial(b, client.Config{Transport: tr, Addrs: addrs})},
		{"middleware", dial(b, client.Config{Transport: tr, Addrs: addrs, Middleware: []kith.Middleware{nothing}})},
	} {
		p := make([]byte, 32)
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := echo.Call(b.Context(), tc.c, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
