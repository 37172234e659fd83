package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// idleCases is W7.
func idleCases(o *options) []testCase {
	return []testCase{{
		label: fmt.Sprintf("%d connections", o.idle),
		fits:  anySystem,
		run: func(ctx context.Context, e *env) (_ figures, err error) {
			srv, err := e.serve(ctx, false)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, srv.Close()) }()
			if e.sys.prepare != nil {
				if err := e.sys.prepare(1 + o.idle); err != nil {
					return nil, err
				}
			}
			// What the first connection brings along is not the price of each.
			first, err := e.used(ctx, srv.Addr(), 1)
			defer func() { err = errors.Join(err, closeAll(first)) }()
			if err != nil {
				return nil, err
			}
			heap, rss := e.memory()
			conns, err := e.used(ctx, srv.Addr(), o.idle)
			defer func() { err = errors.Join(err, closeAll(conns)) }()
			if err != nil {
				return nil, err
			}
			heap2, rss2 := e.memory()
			n := float64(o.idle) * 1024
			f := figures{"heap": (heap2 - heap) / n}
			if rss2 > 0 {
				f["rss"] = (rss2 - rss) / n
			}
			return f, nil
		},
	}}
}

// used makes n connections, each of which has made a call: what is only made when it is
// needed is there then.
func (e *env) used(ctx context.Context, addr string, n int) ([]client, error) {
	conns, err := e.dial(ctx, addr, n)
	if err != nil {
		return conns, err
	}
	for _, c := range conns {
		callCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
		_, err := c.Call(callCtx, make([]byte, 32))
		cancel()
		if err != nil {
			return conns, err
		}
	}
	return conns, nil
}

// memory returns the bytes of heap and stacks, and what of this process is resident (0
// where that is not known), after systems had the time to give back what they would.
func (e *env) memory() (heap, rss float64) {
	time.Sleep(e.opt.settle)
	runtime.GC() // the first moves pooled things to where the second finds them
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse), residentBytes()
}

// residentBytes reads /proc, and returns 0 where there is none.
func residentBytes() float64 {
	p, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(p))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize())
}
