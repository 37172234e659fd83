package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// callsMain is a process that makes calls: "calls [-callers N] [-time D] [-two] NAME". It
// prints how many. What it does beside them is the same for every time.
func callsMain(args []string, out io.Writer) (err error) {
	fs := flag.NewFlagSet("calls", flag.ContinueOnError)
	callers := fs.Int("callers", 1, "callers at once")
	d := fs.Duration("time", time.Second, "how long")
	two := fs.Bool("two", false, "the server has a process of its own")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s, err := systemNamed(fs.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *d+2*time.Minute)
	defer cancel()
	e := &env{sys: s, two: *two}
	srv, err := e.serve(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	conns, err := e.dial(ctx, srv.Addr(), 1)
	defer func() { err = errors.Join(err, closeAll(conns)) }()
	if err != nil {
		return err
	}
	if _, err := (load{callers: *callers, size: 32, conns: conns}).run(ctx, *d, &samples); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(samples.count())
}

// counters are the programs that count the system calls of a process and its children,
// by what -syscalls says. perf counts in the kernel and disturbs little; strace slows
// each system call down so much that calls join batches they would have missed, so its
// figure is low where a system batches.
var counters = map[string]func(file string) []string{
	"perf": func(file string) []string {
		return []string{"perf", "stat", "-e", "raw_syscalls:sys_enter", "-x,", "-o", file, "--"}
	},
	"strace": func(file string) []string { return []string{"strace", "-f", "-c", "-o", file} },
	"none":   nil,
}

// countSyscalls adds a figure to the rows of W1 and W2, when all rounds are over: the
// difference between a short run and one of three times its length, by the calls that
// the longer one made more. Where nothing can count, there is no figure.
func countSyscalls(ctx context.Context, o *options, rows []*row, progress io.Writer) {
	callers := map[string]int{"W1": 1, "W2": 64}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool {
		return callers[r.w.name] == 0 || len(r.rounds) == 0
	})
	command := counters[o.syscalls]
	if command == nil || len(rows) == 0 {
		return
	}
	// Progress is a courtesy here and below.
	if _, _, err := syscallsOf(ctx, command, "-time=1ms", rows[0].sys.name); err != nil {
		_, _ = fmt.Fprintf(progress, "system calls are not counted: %v\n", err)
		return
	}
	for _, r := range rows {
		v, err := syscallsPerCall(ctx, command, o.time/4, fmt.Sprint("-callers=", callers[r.w.name]),
			fmt.Sprint("-two=", r.two), r.sys.name)
		if err != nil {
			_, _ = fmt.Fprintf(progress, "%s %s: system calls are not counted: %v\n", r.title(), r.sys.name, err)
			continue
		}
		_, _ = fmt.Fprintf(progress, "%s %s: %.2f system calls per call\n", r.title(), r.sys.name, v)
		for _, f := range r.rounds {
			f["syscalls"] = v
		}
	}
}

// syscallsPerCall runs callsMain for d and for 3d.
func syscallsPerCall(ctx context.Context, command func(string) []string, d time.Duration, args ...string) (float64, error) {
	count, calls, err := syscallsOf(ctx, command, append([]string{fmt.Sprint("-time=", d)}, args...)...)
	if err != nil {
		return 0, err
	}
	count3, calls3, err := syscallsOf(ctx, command, append([]string{fmt.Sprint("-time=", 3*d)}, args...)...)
	if err != nil {
		return 0, err
	}
	if count3 <= count || calls3 <= calls {
		return 0, fmt.Errorf("%.0f for %.0f calls, %.0f for %.0f", count, calls, count3, calls3)
	}
	return (count3 - count) / (calls3 - calls), nil
}

// syscallsOf runs callsMain in a process of its own, and returns how many system calls
// and calls that made.
func syscallsOf(ctx context.Context, command func(string) []string, args ...string) (count, calls float64, err error) {
	dir, err := os.MkdirTemp("", "kith-bench")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears what is temporary
	file := filepath.Join(dir, "count")
	out, err := outputOfChild(ctx, command(file), append([]string{"calls"}, args...)...)
	if err != nil {
		return 0, 0, err
	}
	if err := json.Unmarshal(out, &calls); err != nil {
		return 0, 0, err
	}
	p, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	count, err = parseCount(string(p))
	return count, calls, err
}

// parseCount finds the sum in what perf -x, or strace -c wrote.
func parseCount(text string) (float64, error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "raw_syscalls") {
			count, _, _ := strings.Cut(line, ",")
			return strconv.ParseFloat(count, 64)
		}
		if f := strings.Fields(line); len(f) >= 5 && f[len(f)-1] == "total" {
			return strconv.ParseFloat(f[3], 64)
		}
	}
	return 0, fmt.Errorf("no count in %q", text)
}
