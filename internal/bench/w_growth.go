package main

import (
	"context"
	"errors"
	"fmt"
)

// growthCases is W9: more callers, more connections, more idle neighbours.
func growthCases(o *options) []testCase {
	var cases []testCase
	for _, n := range o.growCallers {
		cases = append(cases, testCase{
			label: fmt.Sprintf("%d callers, 1 connection", n),
			fits:  manyCallers,
			run: func(ctx context.Context, e *env) (figures, error) {
				return e.calls(ctx, false, load{callers: n, size: 32}, 1)
			},
		})
	}
	for _, n := range o.growConns {
		cases = append(cases, testCase{
			label: fmt.Sprintf("64 callers, %d connections", n),
			fits:  manyCallers,
			run: func(ctx context.Context, e *env) (figures, error) {
				return e.calls(ctx, false, load{callers: 64, size: 32}, n)
			},
		})
	}
	for _, n := range []int{0, o.idle} {
		cases = append(cases, testCase{
			label: fmt.Sprintf("64 callers, 1 connection beside %d idle ones", n),
			fits:  manyCallers,
			run: func(ctx context.Context, e *env) (figures, error) {
				return e.busyBesideIdle(ctx, n)
			},
		})
	}
	return cases
}

// busyBesideIdle measures one connection while n others to the same server are idle.
func (e *env) busyBesideIdle(ctx context.Context, n int) (_ figures, err error) {
	srv, err := e.serve(ctx, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	idle, err := e.used(ctx, srv.Addr(), n)
	defer func() { err = errors.Join(err, closeAll(idle)) }()
	if err != nil {
		return nil, err
	}
	busy, err := e.dial(ctx, srv.Addr(), 1)
	defer func() { err = errors.Join(err, closeAll(busy)) }()
	if err != nil {
		return nil, err
	}
	return e.measure(ctx, srv, load{callers: 64, size: 32, conns: busy})
}
