package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// connectCases is W6: over loopback, and over a link of 20 ms.
func connectCases(*options) []testCase {
	return []testCase{
		{label: "loopback", fits: anySystem, run: func(ctx context.Context, e *env) (figures, error) {
			return e.connects(ctx, func(addr string) (string, func() error, error) {
				return addr, func() error { return nil }, nil
			})
		}},
		{
			label: "20 ms round trip",
			fits:  func(s system) bool { return !s.local },
			run: func(ctx context.Context, e *env) (figures, error) {
				return e.connects(ctx, func(addr string) (string, func() error, error) {
					d, through, err := startDelay(addr, linkDelay)
					if err != nil {
						return "", nil, err
					}
					return through, d.Close, nil
				})
			},
		},
	}
}

// linkDelay is what the simulated links take in each direction.
const linkDelay = 10 * time.Millisecond

// connects connects, calls and closes over and over, through what via puts between.
func (e *env) connects(ctx context.Context, via func(addr string) (string, func() error, error)) (_ figures, err error) {
	srv, err := e.serve(ctx, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	addr, closeVia, err := via(srv.Addr())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeVia()) }()

	for range 2 { // the first ones load code and certificates
		if _, _, err := e.connect(ctx, addr); err != nil {
			return nil, err
		}
	}
	var answers []time.Duration
	samples.reset()
	before := usageNow()
	for end := time.Now().Add(e.opt.time); ; {
		answered, took, err := e.connect(ctx, addr)
		if err != nil {
			return nil, err
		}
		samples.of(0).add(took)
		answers = append(answers, answered)
		if time.Now().After(end) {
			break
		}
	}
	f := figures{"p50": samples.quantile(0.5), "p99": samples.quantile(0.99)}
	slices.Sort(answers)
	f["answer"] = float64(answers[len(answers)/2].Nanoseconds()) / 1e3
	f.perCall(usageNow().minus(before), float64(samples.count()))
	return f, nil
}

// connect is one connection's life, until the answer and as a whole: what the close makes
// the caller wait for is part of the price.
func (e *env) connect(ctx context.Context, addr string) (answered, closed time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	start := time.Now()
	c, err := e.first(ctx, addr)
	if err != nil {
		return 0, 0, err
	}
	_, err = c.Call(ctx, make([]byte, 32))
	answered = time.Since(start)
	err = errors.Join(err, c.Close())
	return answered, time.Since(start), err
}

// first returns a client that is about to make its only call.
func (e *env) first(ctx context.Context, addr string) (client, error) {
	if e.sys.lazy != nil {
		return e.sys.lazy(addr)
	}
	return e.sys.dial(ctx, addr)
}
