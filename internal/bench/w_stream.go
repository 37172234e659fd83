package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// bulkMessage is the size of the messages of W5 and of the bulk transfer of W10.
const bulkMessage = 64 << 10

// bulkCases is W5.
func bulkCases(o *options) []testCase {
	return []testCase{{
		label: fmt.Sprintf("%d MiB", o.bulk>>20),
		// What a system's client can do is known by its type only.
		fits: anySystem,
		run: func(ctx context.Context, e *env) (_ figures, err error) {
			srv, err := e.serve(ctx, false)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, srv.Close()) }()
			conns, err := e.dial(ctx, srv.Addr(), 1)
			defer func() { err = errors.Join(err, closeAll(conns)) }()
			if err != nil {
				return nil, err
			}
			s, ok := conns[0].(streamer)
			if !ok {
				return nil, errNotFit
			}
			return e.bulk(ctx, srv, s, o.bulk/bulkMessage)
		},
	}}
}

// errNotFit says that a system does not do what a case is about. It is no failure.
var errNotFit = errors.New("the system does not do that")

// bulk sends n messages after a few that warm up.
func (e *env) bulk(ctx context.Context, srv endpoint, s streamer, n int) (figures, error) {
	msg := bytes.Repeat([]byte{'k'}, bulkMessage)
	if err := s.Send(ctx, msg, max(1, n/64)); err != nil {
		return nil, err
	}
	before, err := e.usage(srv)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := s.Send(ctx, msg, n); err != nil {
		return nil, err
	}
	took := time.Since(start)
	after, err := e.usage(srv)
	if err != nil {
		return nil, err
	}
	f := figures{"mb": float64(n) * bulkMessage / took.Seconds() / 1e6}
	f.perCall(after.minus(before), float64(n))
	return f, nil
}

// typedCases is W8.
func typedCases(*options) []testCase {
	return []testCase{{fits: manyCallers, run: func(ctx context.Context, e *env) (_ figures, err error) {
		srv, err := e.serve(ctx, false)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, srv.Close()) }()
		conns, err := e.dial(ctx, srv.Addr(), 1)
		defer func() { err = errors.Join(err, closeAll(conns)) }()
		if err != nil {
			return nil, err
		}
		if _, ok := conns[0].(typed); !ok {
			return nil, errNotFit
		}
		f, err := e.measure(ctx, srv, load{callers: 64, typed: true, conns: conns})
		delete(f, "mb")
		return f, err
	}}}
}
