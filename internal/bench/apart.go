package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
)

// finding is what a process that measured one case prints.
type finding struct {
	Figures figures `json:"figures"`
	NotFit  bool    `json:"not_fit"` // the system does not do what the case is about
}

// measureApart measures one case on one system in a process of its own. In a process
// that has run others before, their garbage, their pools and the goroutines that they
// left are measured too: kith's W2 made 546,000 calls/s in the first round of such a run,
// and 333,000 to 432,000 in the later ones.
func measureApart(ctx context.Context, o *options, r *row) (figures, error) {
	out, err := outputOfChild(ctx, nil, "one", "-w="+r.w.name, "-s=^"+regexp.QuoteMeta(r.sys.name)+"$",
		fmt.Sprint("-time=", o.time), fmt.Sprint("-quick=", o.quick), fmt.Sprint("-two=", r.two), "-case="+r.label)
	if err != nil {
		return nil, fmt.Errorf("the process that measures: %w", err)
	}
	var found finding
	if err := json.Unmarshal(out, &found); err != nil {
		return nil, fmt.Errorf("the process that measures: %w", err)
	}
	if found.NotFit {
		return nil, errNotFit
	}
	return found.Figures, nil
}

// oneMain is that process: "one -w W -s SYSTEM -case LABEL", and flags of the parent. It
// prints what it found.
func oneMain(ctx context.Context, args []string, out, progress io.Writer) error {
	var label string
	o, err := parseOptions(args, progress, func(fs *flag.FlagSet) {
		fs.StringVar(&label, "case", "", "the case's label")
	})
	if err != nil {
		return err
	}
	for _, w := range o.workloads {
		for _, c := range w.cases(o) {
			for _, s := range systems {
				if c.label == label && o.systems.MatchString(s.name) {
					return encodeCase(ctx, c, &env{opt: o, sys: s, two: o.two}, out)
				}
			}
		}
	}
	return fmt.Errorf("no case is called %q, or no system %v", label, o.systems)
}

func encodeCase(ctx context.Context, c testCase, e *env, out io.Writer) error {
	f, err := measureCase(ctx, c, e)
	if err != nil && !errors.Is(err, errNotFit) {
		return err
	}
	return json.NewEncoder(out).Encode(finding{Figures: f, NotFit: err != nil})
}
