package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A row is what was found of one system in one case.
type row struct {
	w      workload
	label  string
	two    bool
	sys    system
	rounds []figures
	err    error
}

// title names the case of a row.
func (r *row) title() string {
	t := r.w.name
	if r.label != "" {
		t += ", " + r.label
	}
	if r.two {
		t += ", two processes"
	}
	return t
}

// spread is a column's median, least and most of all rounds.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// get returns false if no round has that column.
func (r *row) get(column string) (spread, bool) {
	var v []float64
	for _, f := range r.rounds {
		if x, ok := f[column]; ok {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return spread{}, false
	}
	slices.Sort(v)
	return spread{(v[(len(v)-1)/2] + v[len(v)/2]) / 2, v[0], v[len(v)-1]}, true
}

// measureAll measures every case on every system, round by round.
func measureAll(ctx context.Context, o *options, progress io.Writer) []*row {
	var rows []*row
	for _, w := range o.workloads {
		for _, c := range w.cases(o) {
			if !o.two {
				rows = append(rows, measureRounds(ctx, o, w, c, false, progress)...)
			}
			if w.two {
				rows = append(rows, measureRounds(ctx, o, w, c, true, progress)...)
			}
		}
	}
	countSyscalls(ctx, o, rows, progress)
	return rows
}

func measureRounds(ctx context.Context, o *options, w workload, c testCase, two bool, progress io.Writer) []*row {
	var rows []*row
	for _, s := range systems {
		if o.systems.MatchString(s.name) && c.fits(s) && (!two || !s.local) {
			rows = append(rows, &row{w: w, label: c.label, two: two, sys: s})
		}
	}
	l, err := newLinkFor(w, rows)
	if err != nil {
		_, _ = fmt.Fprintf(progress, "%s %s is left out: %v\n", w.name, c.label, err) // progress is a courtesy
		return nil
	}
	defer l.close(progress)
	for round := range o.rounds {
		for _, r := range rows {
			if r.err != nil || ctx.Err() != nil {
				continue
			}
			start := time.Now()
			f, err := measureRow(ctx, o, c, r, l)
			if r.err = err; err == nil {
				r.rounds = append(r.rounds, f)
			}
			v := f[w.rank]
			_, _ = fmt.Fprintf(progress, "%s round %d %s: %.4g %s (%v) %v\n", r.title(), round+1, r.sys.name, v,
				unitOf(w.rank), time.Since(start).Round(time.Millisecond), outcome(err))
		}
	}
	return slices.DeleteFunc(rows, func(r *row) bool {
		return errors.Is(r.err, errNotFit) || r.err == nil && len(r.rounds) == 0
	})
}

// measureRow measures in a process of its own. W10 gives each of its ends one itself, in
// the namespaces that this process holds.
func measureRow(ctx context.Context, o *options, c testCase, r *row, l *link) (figures, error) {
	if l != nil {
		return measureCase(ctx, c, &env{opt: o, sys: r.sys, two: r.two, link: l})
	}
	return measureApart(ctx, o, r)
}

func outcome(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// failures joins what went wrong. No figure is ever wrong.
func failures(rows []*row) error {
	var errs []error
	for _, r := range rows {
		if r.err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", r.title(), r.sys.name, r.err))
		}
	}
	return errors.Join(errs...)
}

// peerOf names the row of kith that a system is held against: the one that is as safe.
func peerOf(name string) string {
	switch {
	case strings.Contains(name, "quic") || name == "http3":
		return "kith-quic"
	case strings.Contains(name, "tls") || strings.Contains(name, "noise"):
		return "kith-tls"
	}
	return "kith-tcp"
}

// ratio is r's figure divided by that of kith's row, in the column that ranks.
func ratio(rows []*row, r *row) (float64, bool) {
	for _, k := range rows {
		if k.title() == r.title() && k.sys.name == peerOf(r.sys.name) {
			a, ok := r.get(r.w.rank)
			b, ok2 := k.get(r.w.rank)
			return a.Median / b.Median, ok && ok2 && b.Median > 0
		}
	}
	return 0, false
}

// jsonLines is a line about the run and one for each row.
func jsonLines(o *options, rows []*row) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	err := enc.Encode(map[string]any{
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "procs": runtime.GOMAXPROCS(0),
		"rounds": o.rounds, "time": o.time.String(), "at": time.Now().UTC().Format(time.RFC3339),
	})
	for _, r := range rows {
		line := map[string]any{
			"workload": r.w.name, "case": r.label, "two_processes": r.two, "rank": r.w.rank,
			"system": r.sys.name, "version": version(r.sys.path), "rounds": len(r.rounds),
		}
		if r.err != nil {
			line["error"] = r.err.Error()
		}
		for _, c := range columns {
			if s, ok := r.get(c.key); ok {
				line[c.key] = s
			}
		}
		if v, ok := ratio(rows, r); ok {
			line["ratio_to_kith"] = v
		}
		err = errors.Join(err, enc.Encode(line))
	}
	return out.Bytes(), err
}

// version is that of the module in this binary.
func version(path string) string {
	if path == "" {
		return runtime.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, d := range info.Deps {
		if d.Path == path && d.Replace == nil {
			return d.Version
		}
	}
	return "this tree"
}
