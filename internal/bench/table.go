package main

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
)

// columns are all figures, in the order of the tables.
var columns = []struct{ key, head, unit string }{
	{"p50", "p50 us", "us"},
	{"p99", "p99 us", "us"},
	{"calls", "calls/s", "calls/s"},
	{"mb", "MB/s", "MB/s"},
	{"answer", "p50 until the answer us", "us"},
	{"bulk", "bulk MB/s", "MB/s"},
	{"heap", "heap+stack KiB", "KiB"},
	{"rss", "RSS KiB", "KiB"},
	{"allocs", "allocs/call", ""},
	{"bytes", "B/call", "B"},
	{"cpu", "CPU us/call", "us"},
	{"syscalls", "system calls/call", ""},
}

func unitOf(key string) string {
	for _, c := range columns {
		if c.key == key {
			return c.unit
		}
	}
	return ""
}

func headOf(key string) string {
	for _, c := range columns {
		if c.key == key {
			return c.head
		}
	}
	return ""
}

// writeTables writes markdown: a table for each case, and a legend.
func writeTables(out *bytes.Buffer, o *options, rows []*row) {
	fmt.Fprintf(out, "%s, %s/%s, %d cores; medians of %d interleaved rounds of %v.\n", runtime.Version(),
		runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), o.rounds, o.time)
	fmt.Fprintf(out, "Allocations, bytes and CPU time count both ends. The ratio is the system's figure divided by that of kith's row\n")
	fmt.Fprintf(out, "of the same safety, in the column that is marked *.\n")
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].title() == rows[0].title() {
			n++
		}
		writeTable(out, rows[:n])
		rows = rows[n:]
	}
	out.WriteString("\n## Systems\n\n")
	for _, s := range systems {
		if o.systems.MatchString(s.name) {
			fmt.Fprintf(out, "- %s: %s (%s)\n", s.name, s.what, version(s.path))
		}
	}
}

// writeTable writes one case. Columns that no row has are left out.
func writeTable(out *bytes.Buffer, rows []*row) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n| system |", rows[0].title(), rows[0].w.what)
	var keys []string
	for _, c := range columns {
		for _, r := range rows {
			if _, ok := r.get(c.key); ok {
				keys = append(keys, c.key)
				mark := ""
				if c.key == r.w.rank {
					mark = " *"
				}
				fmt.Fprintf(out, " %s%s |", c.head, mark)
				break
			}
		}
	}
	fmt.Fprintf(out, " ratio |\n| --- |%s\n", strings.Repeat(" --- |", len(keys)+1))
	for _, r := range rows {
		fmt.Fprintf(out, "| %s |", r.sys.name)
		for _, k := range keys {
			if s, ok := r.get(k); ok {
				fmt.Fprintf(out, " %s |", number(s.Median))
			} else {
				out.WriteString(" |")
			}
		}
		switch v, ok := ratio(rows, r); {
		case r.err != nil:
			fmt.Fprintf(out, " failed: %s |\n", strings.ReplaceAll(r.err.Error(), "\n", "; "))
		case ok:
			fmt.Fprintf(out, " %.2f |\n", v)
		default:
			out.WriteString(" |\n")
		}
	}
}

// number prints three digits or all before the point.
func number(v float64) string {
	switch {
	case v >= 100:
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
