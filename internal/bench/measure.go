package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// figures are what one measurement found, by the names in the columns table.
type figures map[string]float64

// usage is what a process has used so far.
type usage struct {
	CPU     time.Duration `json:"cpu"` // user and system, 0 where the platform does not say
	Objects uint64        `json:"objects"`
	Bytes   uint64        `json:"bytes"`
}

// usageNow reads the counters of this process.
func usageNow() usage {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	return usage{
		CPU:     cpuTime(),
		Objects: s[0].Value.Uint64() + s[1].Value.Uint64(),
		Bytes:   s[2].Value.Uint64(),
	}
}

func (u usage) minus(v usage) usage {
	return usage{CPU: u.CPU - v.CPU, Objects: u.Objects - v.Objects, Bytes: u.Bytes - v.Bytes}
}

func (u usage) plus(v usage) usage {
	return usage{CPU: u.CPU + v.CPU, Objects: u.Objects + v.Objects, Bytes: u.Bytes + v.Bytes}
}

// A load is what callers do to the connections of one system.
type load struct {
	callers int
	size    int // of the payload
	typed   bool
	conns   []client
}

// A loader runs a load: callHandler for each caller.
type loader struct {
	load
	until  time.Time
	rec    *recorder // nil for warming up
	wg     sync.WaitGroup
	failed atomic.Pointer[error]
	want   []byte
}

// run makes calls for d, and returns how long that took. The calls of all callers have
// ended when it returns.
func (l load) run(ctx context.Context, d time.Duration, rec *recorder) (time.Duration, error) {
	w := &loader{load: l, rec: rec, want: bytes.Repeat([]byte{'k'}, l.size)}
	// A call that hangs must end at some time; none comes near this.
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	start := time.Now()
	w.until = start.Add(d)
	for i := range l.callers {
		w.wg.Go(func() { w.callHandler(ctx, i) })
	}
	w.wg.Wait()
	if err := w.failed.Load(); err != nil {
		return 0, *err
	}
	return time.Since(start), nil
}

// callHandler is one caller. It ends when time is up or a call fails; run waits for it.
// Its ctx can be cancelled and has a deadline, and is used for all its calls, as a
// program that serves a request would.
func (w *loader) callHandler(ctx context.Context, i int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &item{ID: 7, Name: "a small struct", Score: 0.5, Tags: []string{"one", "two"}, Active: true}
	last := time.Now()
	for n := 0; ; n++ {
		c := w.conns[(i+n*w.callers)%len(w.conns)]
		var err error
		if w.typed {
			var out *item
			if out, err = c.(typed).CallTyped(ctx, in); err == nil && (out.ID != in.ID || out.Name != in.Name) {
				err = fmt.Errorf("the answer is %+v", *out)
			}
		} else {
			var p []byte
			if p, err = c.Call(ctx, w.want); err == nil && !w.matches(p) {
				err = fmt.Errorf("the answer is not the request: %d bytes for %d", len(p), w.size)
			}
		}
		if err != nil {
			w.failed.CompareAndSwap(nil, &err)
			return
		}
		now := time.Now()
		if w.rec != nil {
			w.rec.of(i).add(now.Sub(last))
		}
		if last = now; now.After(w.until) || w.failed.Load() != nil {
			return
		}
	}
}

// matches looks at length and ends only: comparing 64 KiB would be measured too. The
// tests compare everything.
func (w *loader) matches(p []byte) bool {
	return len(p) == w.size && (w.size == 0 || p[0] == 'k' && p[w.size-1] == 'k')
}

// measure warms up, runs l for the time of the options, and returns what a call cost.
func (e *env) measure(ctx context.Context, srv endpoint, l load) (figures, error) {
	if _, err := l.run(ctx, e.opt.time/5, nil); err != nil {
		return nil, err
	}
	samples.reset()
	before, err := e.usage(srv)
	if err != nil {
		return nil, err
	}
	took, err := l.run(ctx, e.opt.time, &samples)
	if err != nil {
		return nil, err
	}
	after, err := e.usage(srv)
	if err != nil {
		return nil, err
	}
	calls := float64(samples.count())
	f := figures{
		"p50": samples.quantile(0.5), "p99": samples.quantile(0.99),
		"calls": calls / took.Seconds(),
		"mb":    calls * float64(l.size) / took.Seconds() / 1e6,
	}
	f.perCall(after.minus(before), calls)
	return f, nil
}

// perCall adds what n calls used, both ends together.
func (f figures) perCall(u usage, n float64) {
	f["allocs"] = float64(u.Objects) / n
	f["bytes"] = float64(u.Bytes) / n
	if u.CPU > 0 {
		f["cpu"] = float64(u.CPU.Nanoseconds()) / 1e3 / n
	}
}

// usage is that of both ends, which may be one process.
func (e *env) usage(srv endpoint) (usage, error) {
	u, err := srv.usage()
	if err == nil && e.two {
		u = u.plus(usageNow())
	}
	return u, err
}
