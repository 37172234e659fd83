package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	barEvery = 100 * time.Millisecond
	barWidth = 24
)

// A screen shows on standard error how a transfer gets on. Its methods may be
// called from any number of goroutines.
type screen struct {
	p    *program
	how  string // bar, lines or none
	name string // set before progress is called

	mu    sync.Mutex
	began time.Time // guarded by mu, as are all below
	from  int64     // bytes at that time
	drawn time.Time
	width int // of what stands in the line
}

func newScreen(p *program) (*screen, error) {
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
	return &screen{p: p, how: how}, nil
}

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
func (s *screen) progress(have, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.how {
	case "lines":
		s.p.say("moving %d %d", have, size)
	case "bar":
		now := time.Now()
		if s.began.IsZero() {
			s.began, s.from = now, have
		}
		if have == size || now.Sub(s.drawn) >= barEvery {
			s.drawn = now
			s.draw(have, size, now.Sub(s.began))
		}
	}
}

func (s *screen) draw(have, size int64, took time.Duration) {
	part := 1.0
	if size > 0 {
		part = float64(have) / float64(size)
	}
	full := int(part * barWidth)
	rate := ""
	if took > barEvery {
		rate = fmt.Sprintf("  %.1f MB/s", float64(have-s.from)/1e6/took.Seconds())
	}
	s.put(fmt.Sprintf("get %s [%s%s] %3.0f%%  %.1f of %.1f MB%s", show(s.name),
		strings.Repeat("#", full), strings.Repeat("-", barWidth-full), part*100,
		float64(have)/1e6, float64(size)/1e6, rate))
}

// put replaces what stands in the line.
func (s *screen) put(text string) {
	width := utf8.RuneCountInString(text)
	s.p.write("\r" + text + strings.Repeat(" ", max(s.width-width, 0)))
	s.width = width
}

// holder shows who is asked, to programs: people see it at the end.
func (s *screen) holder(name string) {
	if s.how == "lines" {
		s.p.say("asking %s", name)
	}
}

// note writes a line of its own.
func (s *screen) note(format string, args ...any) {
	s.end()
	s.p.say(format, args...)
}

// end leaves the line as it is.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.width > 0 {
		s.p.write("\n")
		s.width = 0
	}
}
