package flood_test

import (
	"fmt"
	"io"
	"slices"
	"testing"
)

// rows is what BenchmarkFlood has measured.
var rows []*row

// A row is what was measured of one attack over one transport, by round.
type row struct {
	transport, attack        string
	alone, attacked, control []sample
	attacker                 []attackPhase
}

func (r *row) add(alone, attacked, control sample, x attackPhase) {
	r.alone = append(r.alone, alone)
	r.attacked = append(r.attacked, attacked)
	r.control = append(r.control, control)
	r.attacker = append(r.attacker, x)
}

// median returns the median of f over the rounds, zero if there were none.
func median[T any](rounds []T, f func(T) float64) float64 {
	v := make([]float64, 0, len(rounds))
	for _, x := range rounds {
		v = append(v, f(x))
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func calls(s sample) float64     { return s.calls }
func failed(s sample) float64    { return float64(s.failed) }
func p99(s sample) float64       { return s.p99 }
func dialled(s sample) float64   { return s.dial }
func serverCPU(s sample) float64 { return s.server.CPU }

// ratios returns which part of its throughput the good client kept, of what it
// had alone and of what it had beside the spinning process.
func (r *row) ratios() (ofAlone, ofControl float64) {
	x := median(r.attacked, calls)
	return x / max(median(r.alone, calls), 1), x / max(median(r.control, calls), 1)
}

// report makes the row's figures those of the benchmark.
func (r *row) report(b *testing.B) {
	ofAlone, ofControl := r.ratios()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(r.alone, calls), "alone-calls/s")
	b.ReportMetric(median(r.control, calls), "control-calls/s")
	b.ReportMetric(median(r.attacked, calls), "attack-calls/s")
	b.ReportMetric(100*ofAlone, "%alone")
	b.ReportMetric(100*ofControl, "%control")
	b.ReportMetric(median(r.attacked, failed), "failed")
	b.ReportMetric(median(r.alone, p99), "alone-p99-us")
	b.ReportMetric(median(r.control, p99), "control-p99-us")
	b.ReportMetric(median(r.attacked, p99), "attack-p99-us")
	b.ReportMetric(median(r.attacked, dialled), "attack-dial-ms")
	b.ReportMetric(median(r.attacked, serverCPU), "server-cpus")
	b.ReportMetric(median(r.attacker, func(x attackPhase) float64 { return x.CPU }), "attacker-cpus")
	b.ReportMetric(median(r.attacker, func(x attackPhase) float64 { return x.Frames }), "frames/s")
	b.ReportMetric(median(r.attacker, func(x attackPhase) float64 { return x.Bytes / 1e6 }), "MB/s")
	b.ReportMetric(median(r.attacker, func(x attackPhase) float64 { return x.Runs }), "conns/s")
}

// printTable writes rows as a table of markdown.
func printTable(w io.Writer, rows []*row) {
	_, _ = fmt.Fprint(w, `
| transport | attack | alone, calls/s | control | attack | of alone | of control | failed | p99 alone, control, attack (µs) | new client (ms) | CPUs server, attacker | sent/s | MB/s | connections/s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`)
	for _, r := range rows {
		ofAlone, ofControl := r.ratios()
		x := func(f func(attackPhase) float64) float64 { return median(r.attacker, f) }
		_, _ = fmt.Fprintf(w, "| %s | %s | %.0f | %.0f | %.0f | %.0f %% | %.0f %% | %.0f | %.0f, %.0f, %.0f | %.1f | %.2f, %.2f | %.0f | %.1f | %.0f |\n",
			r.transport, r.attack,
			median(r.alone, calls), median(r.control, calls), median(r.attacked, calls),
			100*ofAlone, 100*ofControl, median(r.attacked, failed),
			median(r.alone, p99), median(r.control, p99), median(r.attacked, p99), median(r.attacked, dialled),
			median(r.attacked, serverCPU), x(func(x attackPhase) float64 { return x.CPU }),
			x(func(x attackPhase) float64 { return x.Frames }), x(func(x attackPhase) float64 { return x.Bytes / 1e6 }),
			x(func(x attackPhase) float64 { return x.Runs }))
	}
}
