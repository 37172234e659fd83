package flood_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
)

// callers is how many goroutines a good client calls from, over one connection.
const callers = 64

// A phase is what a good client got done.
type phase struct {
	calls  float64 // a second, of all callers
	failed int     // calls of all callers
	p50    float64 // microseconds, of one caller
	p99    float64
	dial   float64 // milliseconds from nothing to the answer of another client's first call
}

// goodClient is a client that does nothing but call echo.
type goodClient struct {
	*client.Client
	tr   transport.Transport
	addr string
}

// dialGood connects a good client. Its transport is its own.
func dialGood(ctx context.Context, name, addr string) (*goodClient, error) {
	tr, err := newTransport(name)
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(ctx, client.Config{Transport: tr, Addrs: []string{addr}})
	if err != nil {
		_ = tr.Close()
		return nil, err
	}
	return &goodClient{Client: c, tr: tr, addr: addr}, nil
}

func (g *goodClient) close() {
	_ = g.Close()
	_ = g.tr.Close()
}

// answered calls once, over a connection of its own.
func answered(ctx context.Context, name, addr string) error {
	g, err := dialGood(ctx, name, addr)
	if err != nil {
		return err
	}
	defer g.close()
	_, err = echo.Call(ctx, g, message())
	return err
}

func message() []byte { return make([]byte, 32) }

// measure calls for d from all callers, and for half as long from one.
func (g *goodClient) measure(ctx context.Context, d time.Duration) phase {
	l := &load{g: g, end: time.Now().Add(d)}
	begin := time.Now()
	for range callers {
		l.loops.Go(func() { l.callLoop(ctx) })
	}
	l.loops.Wait()
	p := phase{
		calls:  float64(l.calls.Load()) / time.Since(begin).Seconds(),
		failed: int(l.failed.Load()),
	}
	took := g.latencies(ctx, d/2)
	p.p50, p.p99 = quantile(took, 50), quantile(took, 99)
	return p
}

// A load is a good client with all its callers.
type load struct {
	g             *goodClient
	end           time.Time
	loops         sync.WaitGroup
	calls, failed atomic.Int64
}

// callLoop calls until the load ends; measure waits for it.
func (l *load) callLoop(ctx context.Context) {
	p := message()
	var calls, failed int64
	for time.Now().Before(l.end) {
		if _, err := echo.Call(ctx, l.g, p); err != nil {
			failed++
		} else {
			calls++
		}
	}
	l.calls.Add(calls)
	l.failed.Add(failed)
}

// latencies calls from one goroutine for d, and returns how long each call took.
func (g *goodClient) latencies(ctx context.Context, d time.Duration) []time.Duration {
	p := message()
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < d; {
		start := time.Now()
		if _, err := echo.Call(ctx, g, p); err == nil {
			took = append(took, time.Since(start))
		}
	}
	return took
}

// quantile returns a percentile in microseconds. It sorts.
func quantile(took []time.Duration, percent int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*percent/100]) / 1e3
}
