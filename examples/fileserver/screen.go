package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kith-go/kith/examples/fileserver/fileclient"
)

const (
	barEvery = 100 * time.Millisecond
	barWidth = 24
)

// A screen shows on standard error how a transfer gets on. One goroutine uses
// it at a time.
type screen struct {
	p    *program
	verb string
	how  string // bar, lines or none

	doing fileclient.Doing
	began time.Time // doing it
	from  int64     // bytes at that time
	drawn time.Time
	width int // of what stands in the line
}

func newScreen(p *program, verb string) (*screen, error) {
	how := p.opts.progress
	switch how {
	case "auto":
		how = "none"
		if isTerminal(p.stderr) {
			how = "bar"
		}
	case "bar", "lines", "none":
	default:
		return nil, usagef("-progress %q: want auto, bar, lines or none", how)
	}
	return &screen{p: p, verb: verb, how: how}, nil
}

func quietScreen(p *program) *screen { return &screen{p: p, how: "none"} }

// isTerminal reports whether w is something like a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress shows how far a transfer has got.
func (s *screen) progress(p fileclient.Progress) {
	switch s.how {
	case "lines":
		s.p.say("%s %d %d", p.Doing, p.Bytes, p.Size)
	case "bar":
		now := time.Now()
		if p.Doing != s.doing {
			s.doing, s.began, s.from = p.Doing, now, p.Bytes
		}
		if p.Bytes == p.Size || now.Sub(s.drawn) >= barEvery {
			s.drawn = now
			s.draw(p, now.Sub(s.began))
		}
	}
}

func (s *screen) draw(p fileclient.Progress, took time.Duration) {
	part := 1.0
	if p.Size > 0 {
		part = min(float64(p.Bytes)/float64(p.Size), 1)
	}
	verb := s.verb
	if p.Doing == fileclient.Reading {
		verb = "read"
	}
	full := int(part * barWidth)
	rate := ""
	if took > barEvery {
		rate = fmt.Sprintf("  %.1f MB/s", float64(p.Bytes-s.from)/1e6/took.Seconds())
	}
	s.put(fmt.Sprintf("%s %s [%s%s] %3.0f%%  %.1f of %.1f MB%s", verb, show(p.Name),
		strings.Repeat("#", full), strings.Repeat("-", barWidth-full), part*100,
		float64(p.Bytes)/1e6, float64(p.Size)/1e6, rate))
}

// put replaces what stands in the line.
func (s *screen) put(text string) {
	_, _ = fmt.Fprintf(s.p.stderr, "\r%s%s", text, strings.Repeat(" ", max(s.width-len(text), 0)))
	s.width = len(text)
}

// retrying says why a transfer is held up.
func (s *screen) retrying(err error) {
	s.end()
	s.p.say("fileserver: trying again: %s", s.p.explain(err))
}

// end leaves the line as it is.
func (s *screen) end() {
	if s.width > 0 {
		_, _ = fmt.Fprintln(s.p.stderr)
		s.width = 0
	}
}
