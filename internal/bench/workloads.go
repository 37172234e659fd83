package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A workload is a row of the issue: one or more cases, each measured on every system
// that fits.
type workload struct {
	name  string // "W1"
	what  string
	rank  string // the column that systems are compared by
	two   bool   // measured with client and server in two processes too
	cases func(o *options) []testCase
}

// A testCase is one way to run a workload.
type testCase struct {
	label string // "64 callers"; empty if the workload has one case
	fits  func(s system) bool
	run   func(ctx context.Context, e *env) (figures, error)
}

// An env is what one measurement runs in.
type env struct {
	opt  *options
	sys  system
	two  bool  // the server has a process of its own
	link *link // of W10, nil elsewhere
}

// workloads is in the order of the tables.
var workloads = []workload{
	{"W1", "unary calls of 32 B, one caller", "p50", true, unary(1, 32, false)},
	{"W2", "unary calls of 32 B, 64 callers, one connection", "calls", true, unary(64, 32, false)},
	{"W3", "unary calls of 1 KiB, 512 callers, one connection", "calls", false, unary(512, 1<<10, false)},
	{"W4", "unary calls of 64 KiB, 16 callers, one connection; MB/s one way", "mb", false, unary(16, 64<<10, false)},
	{"W5", "messages of 64 KiB one way on one stream", "mb", false, bulkCases},
	{"W6", "connect, first call of 32 B, close", "p50", false, connectCases},
	{"W7", "memory of an idle connection, both ends together", "heap", false, idleCases},
	{"W8", "unary calls of a small struct, 64 callers, one connection", "calls", false, typedCases},
	{"W9", "growth: unary calls of 32 B", "calls", false, growthCases},
	{"W10", "16 callers of 32 B over a link of 50 Mbit/s, 20 ms round trip, 1 % loss", "p99", false, linkCases},
	{"W11", "unary calls of 32 B, 8 callers, while the server's process computes on all cores", "calls", true, unary(8, 32, true)},
}

func anySystem(system) bool { return true }

// manyCallers fits systems that take more than one caller on a connection.
func manyCallers(s system) bool { return s.callers == 0 }

// unary has callers call on one connection.
func unary(callers, size int, burn bool) func(*options) []testCase {
	fits := anySystem
	if callers > 1 {
		fits = manyCallers
	}
	return func(*options) []testCase {
		return []testCase{{fits: fits, run: func(ctx context.Context, e *env) (figures, error) {
			return e.calls(ctx, burn, load{callers: callers, size: size}, 1)
		}}}
	}
}

// calls runs l over so many connections, which it makes and closes.
func (e *env) calls(ctx context.Context, burn bool, l load, conns int) (_ figures, err error) {
	srv, err := e.serve(ctx, burn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	l.conns, err = e.dial(ctx, srv.Addr(), conns)
	defer func() { err = errors.Join(err, closeAll(l.conns)) }()
	if err != nil {
		return nil, err
	}
	f, err := e.measure(ctx, srv, l)
	if burn {
		delete(f, "cpu") // the burners' share is most of it
	}
	return f, err
}

// serve starts the server where the env says.
func (e *env) serve(ctx context.Context, burn bool) (endpoint, error) {
	if e.two {
		return startChild(ctx, e.sys, "", burn)
	}
	return startLocal(e.sys, burn)
}

// dial makes n connections. What it returns must be closed, with an error too.
func (e *env) dial(ctx context.Context, addr string, n int) ([]client, error) {
	var conns []client
	for range n {
		dialCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
		c, err := e.sys.dial(dialCtx, addr)
		cancel()
		if err != nil {
			return conns, fmt.Errorf("dial: %w", err)
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func closeAll(conns []client) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// measureCase runs one case on one system, within a time that no case needs.
func measureCase(ctx context.Context, c testCase, e *env) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute+3*e.opt.time)
	defer cancel()
	f, err := c.run(ctx, e)
	if e.sys.end != nil {
		err = errors.Join(err, e.sys.end())
	}
	return f, err
}
