package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the child that it starts.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// TestQuick runs everything once. It fails if something does not run, never on a figure.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	dir := t.TempDir()
	var out bytes.Buffer
	args := []string{"-quick", "-json", filepath.Join(dir, "rows.json"), "-svg", filepath.Join(dir, "plot.svg")}
	if err := run(args, nil, &out, t.Output()); err != nil {
		t.Fatalf("run(%q) = %v, want nil", args, err)
	}
	p, err := os.ReadFile(filepath.Join(dir, "plot.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(bytes.NewReader(p)); ; {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
	t.Log(out.String())
}

// TestSyscallsColumn counts system calls where perf can: where it cannot, the table is
// printed without that column.
func TestSyscallsColumn(t *testing.T) {
	var out, progress bytes.Buffer
	args := []string{"-w", "W2", "-s", "^kith-tcp$", "-rounds", "1", "-time", "100ms"}
	if err := run(args, nil, &out, &progress); err != nil {
		t.Fatalf("run(%q) = %v, want nil", args, err)
	}
	counted := !strings.Contains(progress.String(), "not counted")
	if got := strings.Contains(out.String(), "system calls/call"); got != counted {
		t.Errorf("the table has a column for system calls: %v, want %v:\n%s%s", got, counted, &out, &progress)
	}
}

// TestCallsMain runs what is counted: it prints a number of calls.
func TestCallsMain(t *testing.T) {
	for _, two := range []string{"-two=false", "-two=true"} {
		var out bytes.Buffer
		args := []string{"calls", "-callers=2", "-time=10ms", two, "kith-tcp"}
		if err := run(args, nil, &out, io.Discard); err != nil {
			t.Fatalf("run(%q) = %v, want nil", args, err)
		}
		if n, err := strconv.Atoi(strings.TrimSpace(out.String())); n < 1 || err != nil {
			t.Errorf("run(%q) prints %q, want a number of calls", args, &out)
		}
	}
}

// TestOne measures a case in a process of its own, one that the system does not fit and
// one that fails.
func TestOne(t *testing.T) {
	o := &options{quick: true, time: time.Millisecond}
	w, err := selectWorkloads("W1,W5")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := systemNamed("kith-tcp")
	if err != nil {
		t.Fatal(err)
	}
	f, err := measureApart(t.Context(), o, &row{w: w[0], sys: tcp})
	if err != nil || f["calls"] <= 0 || f["p50"] <= 0 {
		t.Errorf("measureApart(W1, kith-tcp) = %v, %v, want its figures", f, err)
	}
	nats, err := systemNamed("nats")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := measureApart(t.Context(), o, &row{w: w[1], label: "16 MiB", sys: nats}); !errors.Is(err, errNotFit) {
		t.Errorf("measureApart(W5, nats) = %v, want %v", err, errNotFit)
	}
	const want = `no case is called "gone"`
	if _, err := measureApart(t.Context(), o, &row{w: w[0], label: "gone", sys: tcp}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("measureApart(a case that is none) = %v, want one that says %q", err, want)
	}
}

func TestHistogram(t *testing.T) {
	for i := range buckets - 1 {
		if got := bucketOf(bucketStart(i)); got != i {
			t.Fatalf("bucketOf(bucketStart(%d)) = %d, want %[1]d", i, got)
		}
		if got := bucketOf(bucketStart(i+1) - 1); got != i {
			t.Fatalf("bucketOf(bucketStart(%d)-1) = %d, want %d", i+1, got, i)
		}
	}
	if got := bucketOf(time.Hour); got != buckets-1 {
		t.Errorf("bucketOf(1 h) = %d, want %d, the last", got, buckets-1)
	}
	var r recorder
	for i := range 1000 {
		r.of(i).add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.99: 990} {
		if got := r.quantile(q); got < want*0.98 || got > want*1.02 {
			t.Errorf("quantile(%v) = %v, want %v within 2 %%", q, got, want)
		}
	}
}

func TestParseCount(t *testing.T) {
	for _, text := range []string{
		"# started\n\n145,,raw_syscalls:sys_enter,1724883,100.00,,\n",
		"  0.00    0.000000           0         1           rseq\n------ -----\n100.00    0.000083           2       145         1 total\n",
		"100.00    0.000083           2       145           total\n",
	} {
		if got, err := parseCount(text); got != 145 || err != nil {
			t.Errorf("parseCount(%q) = %v, %v, want 145", text, got, err)
		}
	}
}
