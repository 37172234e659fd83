// Package main measures kith and other libraries side by side, on the same workloads in
// one interleaved run, and prints a table.
//
//	go run . [-w W1,W2] [-s regexp] [-rounds N] [-time D] [-quick] [-two] [-syscalls perf|strace|none]
//	         [-json FILE] [-md FILE] [-svg FILE]
//
// Each round measures every system of a case once, before the next round begins; of the
// rounds the median counts. One system is alive at a time, in a process that measures
// nothing else.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

func main() {
	defer keepHeapFloor()
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

// run is main, and what a child process does.
func run(args []string, in io.Reader, out, progress io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case "one":
			return oneMain(ctx, args[1:], out, progress)
		case "serve":
			return serveMain(args[1:], in, out)
		case "calls":
			return callsMain(args[1:], out)
		case "link":
			return linkMain(args[1:], out)
		}
	}
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	rows := measureAll(ctx, o, progress)
	return errors.Join(report(o, rows, out), failures(rows))
}

// options are what the command line says.
type options struct {
	workloads []workload
	systems   *regexp.Regexp
	rounds    int
	time      time.Duration // of one measurement
	quick     bool          // briefly: what follows is small
	two       bool          // only what has two processes
	syscalls  string        // the name of a counter

	json, md, svg string

	bulk        int           // bytes of W5
	idle        int           // connections of W7 and W9
	settle      time.Duration // before memory is looked at
	linkTime    time.Duration // of a measurement of W10, where a call takes 20 ms
	growCallers []int
	growConns   []int
}

// parseOptions adds flags of the caller's own by more.
func parseOptions(args []string, usage io.Writer, more ...func(*flag.FlagSet)) (*options, error) {
	o := &options{
		bulk: 1 << 30, idle: 1000, settle: time.Second,
		growCallers: []int{1, 8, 16, 64, 512, 4096}, growConns: []int{1, 10, 100, 1000},
	}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(usage)
	names := fs.String("w", "", "workloads, separated by commas; all if empty")
	pattern := fs.String("s", "", "regular expression of the systems")
	fs.BoolVar(&o.quick, "quick", false, "everything once and briefly, to see that it runs; counts no system calls")
	fs.IntVar(&o.rounds, "rounds", 5, "how often each is measured")
	fs.DurationVar(&o.time, "time", time.Second, "how long each is measured")
	fs.BoolVar(&o.two, "two", false, "only what has client and server in two processes")
	fs.StringVar(&o.syscalls, "syscalls", "perf", "what counts the system calls of W1 and W2: perf, strace or none")
	fs.StringVar(&o.json, "json", "", "write JSON lines to this file")
	fs.StringVar(&o.md, "md", "", "write the tables to this file, not to standard output")
	fs.StringVar(&o.svg, "svg", "", "write a plot to this file")
	for _, add := range more {
		add(fs)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if o.quick {
		o.rounds, o.time, o.bulk, o.idle, o.settle = 1, 20*time.Millisecond, 16<<20, 20, 20*time.Millisecond
		o.growCallers, o.growConns = []int{1, 512}, []int{10}
		o.syscalls = "none"
	}
	o.linkTime = 10 * o.time
	var err error
	if o.systems, err = regexp.Compile(*pattern); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.time <= 0 || fs.NArg() > 0 {
		return nil, errors.New("rounds and time must be positive, and nothing follows the flags")
	}
	if _, ok := counters[o.syscalls]; !ok {
		return nil, fmt.Errorf("nothing that counts is called %q", o.syscalls)
	}
	o.workloads, err = selectWorkloads(*names)
	return o, err
}

func selectWorkloads(names string) ([]workload, error) {
	if names == "" {
		return workloads, nil
	}
	var out []workload
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, w := range workloads {
			if w.name == name {
				out, found = append(out, w), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no workload is called %q", name)
		}
	}
	return out, nil
}

func report(o *options, rows []*row, out io.Writer) error {
	var md bytes.Buffer
	writeTables(&md, o, rows)
	if o.md != "" {
		if err := os.WriteFile(o.md, md.Bytes(), 0o644); err != nil {
			return err
		}
	} else if _, err := out.Write(md.Bytes()); err != nil {
		return err
	}
	if o.json != "" {
		p, err := jsonLines(o, rows)
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, p, 0o644); err != nil {
			return err
		}
	}
	if o.svg != "" {
		return os.WriteFile(o.svg, plot(rows), 0o644)
	}
	return nil
}
