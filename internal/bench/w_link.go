package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"
)

// The simulated link of W10. Its queue holds about what is on the way in 20 ms.
const (
	linkBits  = 50_000_000 // bits a second, each way
	linkQueue = 128 << 10  // bytes that wait; further packets are dropped
	linkLoss  = 0.01
	linkPort  = "4433"
)

// linkCases is W10. Both ends have processes of their own, in namespaces of their own,
// with the kernel's TCP between them.
func linkCases(*options) []testCase {
	one := func(label string, bulk bool) testCase {
		return testCase{
			label: label,
			fits:  func(s system) bool { return s.callers == 0 && !s.local },
			run: func(ctx context.Context, e *env) (_ figures, err error) {
				srv, err := startChild(ctx, e.sys, linkServer+":"+linkPort, false, e.link.inServer()...)
				if err != nil {
					return nil, err
				}
				defer func() { err = errors.Join(err, srv.Close()) }()
				return e.linkClient(ctx, srv.Addr(), bulk)
			},
		}
	}
	return []testCase{one("alone", false), one("beside a bulk transfer", true)}
}

// linkClient runs the calling end in its namespace, and returns what it found.
func (e *env) linkClient(ctx context.Context, addr string, bulk bool) (figures, error) {
	p, err := outputOfChild(ctx, e.link.inClient(), "link", "-addr="+addr, fmt.Sprint("-bulk=", bulk),
		fmt.Sprint("-time=", e.opt.linkTime), e.sys.name)
	if err != nil {
		return nil, fmt.Errorf("the client's process: %w", err)
	}
	f := figures{}
	if err := json.Unmarshal(p, &f); err != nil {
		return nil, err
	}
	if bulk && f["bulk"] < 0 {
		return nil, errNotFit
	}
	return f, nil
}

// linkMain is the calling end: "link -addr A [-bulk] [-time D] NAME". It prints figures.
func linkMain(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("link", flag.ContinueOnError)
	addr := fs.String("addr", "", "the server's address")
	bulk := fs.Bool("bulk", false, "send in bulk beside the calls")
	d := fs.Duration("time", time.Second, "how long")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s, err := systemNamed(fs.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *d+2*time.Minute)
	defer cancel()
	c, err := s.dial(ctx, *addr)
	if err != nil {
		return err
	}
	f, err := callsBeside(ctx, c, *bulk, *d)
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f)
}

// callsBeside measures small calls. A client that can send no bulk where it should gives
// "bulk" as -1.
func callsBeside(ctx context.Context, c client, bulk bool, d time.Duration) (figures, error) {
	l := load{callers: 16, size: 32, conns: []client{c}}
	var b *bulkSender
	if bulk {
		s, ok := c.(streamer)
		if !ok {
			return figures{"bulk": -1}, nil
		}
		b = startBulk(ctx, s)
	}
	// The congestion window must have grown, and the queue filled, before it counts.
	if _, err := l.run(ctx, d/5, nil); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	samples.reset()
	sent := b.count()
	took, err := l.run(ctx, d, &samples)
	sent = b.count() - sent
	if err = errors.Join(err, b.stop()); err != nil {
		return nil, err
	}
	f := figures{
		"p50": samples.quantile(0.5), "p99": samples.quantile(0.99),
		"calls": float64(samples.count()) / took.Seconds(),
	}
	if bulk {
		f["bulk"] = float64(sent) * bulkBurst * bulkMessage / took.Seconds() / 1e6
	}
	return f, nil
}

// bulkBurst is how many messages one Send of a bulkSender takes: 1 MiB together.
const bulkBurst = 16

// A bulkSender sends one stream after the other. It runs sendLoop.
type bulkSender struct {
	s      streamer
	cancel context.CancelFunc
	done   chan struct{} // closed by sendLoop

	mu   sync.Mutex
	sent int   // guarded by mu: streams that the server has taken
	err  error // guarded by mu
}

func startBulk(ctx context.Context, s streamer) *bulkSender {
	ctx, cancel := context.WithCancel(ctx)
	b := &bulkSender{s: s, cancel: cancel, done: make(chan struct{})}
	go b.sendLoop(ctx)
	return b
}

// sendLoop ends with stop, which waits for it, or a failure.
func (b *bulkSender) sendLoop(ctx context.Context) {
	defer close(b.done)
	msg := bytes.Repeat([]byte{'k'}, bulkMessage)
	for ctx.Err() == nil {
		err := b.s.Send(ctx, msg, bulkBurst)
		b.mu.Lock()
		if err == nil {
			b.sent++
		} else if ctx.Err() == nil {
			b.err = fmt.Errorf("bulk: %w", err)
		}
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// count is 0 for a nil sender.
func (b *bulkSender) count() int {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

// stop returns what failed before it; a nil sender does nothing.
func (b *bulkSender) stop() error {
	if b == nil {
		return nil
	}
	b.cancel()
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
