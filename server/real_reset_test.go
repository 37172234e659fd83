package server_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// stubborn says that it has begun, and then does not end before its caller
// has gone, and not at once then.
var stubborn = kith.Bidi[string, string]("test/Stubborn")

// A client opens streams and resets them as fast as it can. A stream's place
// is free only when its handler has ended as well, so that there are never
// more handlers than streams allowed, though each takes its time to notice.
func TestRealRapidReset(t *testing.T) {
	const (
		streams = 16
		openers = 64
		each    = 40
	)
	for name, makeTransport := range map[string]func() transport.Transport{
		"tcp":  func() transport.Transport { return tcp.New(tcp.Config{Plaintext: true, MaxStreams: streams}) },
		"quic": func() transport.Transport { return quic.New(quic.Config{MaxStreams: streams}) },
	} {
		t.Run(name, func(t *testing.T) {
			tr := makeTransport()
			t.Cleanup(func() { _ = tr.Close() })
			var g gauge
			h := echoHandlers()
			stubborn.Handle(h, func(ctx context.Context, d *kith.Duplex[string, string]) error {
				g.enter()
				defer g.leave()
				_ = d.Send("begun") // the caller may have gone
				<-ctx.Done()
				for range 200 {
					runtime.Gosched()
				}
				return ctx.Err()
			})
			s := start(t, tr, h, nil).dial(t)
			var flood sync.WaitGroup
			for i := range openers {
				flood.Go(func() {
					for range each {
						d, err := stubborn.Call(t.Context(), s)
						if err != nil {
							t.Errorf("stubborn.Call = %v", err)
							return
						}
						if i%2 == 0 { // the others do not even let it begin
							_ = d.Send("begin")
							if _, err := d.Recv(); err != nil {
								t.Errorf("Recv = %v, want that the handler has begun", err)
							}
						}
						d.Close()
					}
				})
			}
			flood.Wait()
			if _, err := echo.Call(t.Context(), s, []byte("after")); err != nil {
				t.Errorf("Call after the flood = %v, want nil", err)
			}
			most, ran := g.most.Load(), g.ran.Load()
			t.Logf("%d streams opened and reset, %d handlers ran, at most %d at once", openers*each, ran, most)
			if most > streams || ran < openers*each/2 {
				t.Errorf("%d handlers, %d at once, want at least %d, and at most %d at once, the limit of streams",
					ran, most, openers*each/2, streams)
			}
		})
	}
}

// A gauge counts what is going on.
type gauge struct{ now, most, ran atomic.Int64 }

func (g *gauge) enter() {
	g.ran.Add(1)
	n := g.now.Add(1)
	for {
		m := g.most.Load()
		if n <= m || g.most.CompareAndSwap(m, n) {
			return
		}
	}
}

func (g *gauge) leave() { g.now.Add(-1) }
