package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// callsMain makes a number of calls in this process and ends: "calls [-callers N] [-n N]
// NAME". What it does beside them is the same for every n.
func callsMain(args []string) error {
	fs := flag.NewFlagSet("calls", flag.ContinueOnError)
	callers := fs.Int("callers", 1, "callers at once")
	n := fs.Int64("n", 1000, "calls of each")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s, err := systemNamed(fs.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	srv, err := s.serve("")
	if err != nil {
		return err
	}
	c, err := s.dial(ctx, srv.Addr())
	if err != nil {
		return errors.Join(err, srv.Close())
	}
	_, err = load{callers: *callers, size: 32, conns: []client{c}, calls: *n}.run(ctx, time.Minute, nil)
	return errors.Join(err, c.Close(), srv.Close())
}

// countSyscalls adds a figure to the rows of W1 and W2 within one process: the difference
// between a run of n calls and one of 3n. perf counts in the kernel and disturbs little;
// strace, where there is no perf, slows each system call down so much that calls join
// batches they would have missed, so its figure is low where a system batches.
func countSyscalls(ctx context.Context, rows []*row, progress io.Writer) {
	const n = 20000
	for _, r := range rows {
		callers := map[string]int{"W1": 1, "W2": 64}[r.w.name]
		if callers == 0 || r.two || len(r.rounds) == 0 {
			continue
		}
		a, err := syscallsOf(ctx, r.sys, callers, n/callers)
		b, err2 := syscallsOf(ctx, r.sys, callers, 3*(n/callers))
		if err := errors.Join(err, err2); err != nil {
			// Progress is a courtesy.
			_, _ = fmt.Fprintf(progress, "%s %s: system calls are not counted: %v\n", r.title(), r.sys.name, err)
			continue
		}
		v := (b - a) / float64(2*(n/callers)*callers)
		_, _ = fmt.Fprintf(progress, "%s %s: %.2f system calls per call\n", r.title(), r.sys.name, v) // as above
		for _, f := range r.rounds {
			f["syscalls"] = v
		}
	}
}

// syscallsOf counts the system calls of a process that makes calls.
func syscallsOf(ctx context.Context, s system, callers, n int) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "kith-bench")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears what is temporary
	file := filepath.Join(dir, "count")
	var args []string
	if _, err := exec.LookPath("perf"); err == nil {
		args = []string{"perf", "stat", "-e", "raw_syscalls:sys_enter", "-x,", "-o", file, "--"}
	} else {
		args = []string{"strace", "-f", "-c", "-o", file}
	}
	args = append(args, self, "calls", fmt.Sprint("-callers=", callers), fmt.Sprint("-n=", n), s.name)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", args[0], err, text.Bytes())
	}
	p, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return parseCount(string(p))
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
