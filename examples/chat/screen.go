package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A screen shows lines, one after the other. Its goroutine is the only one that writes, so
// that a terminal that is held up holds up nothing but what waits to be shown.
type screen struct {
	w     io.Writer
	lines chan string
	stop  chan struct{} // closed by close
	loop  sync.WaitGroup
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, lines: make(chan string, 64), stop: make(chan struct{})}
	s.loop.Add(1)
	go s.showLoop()
	return s
}

// showLoop ends when close was called and what was to be shown has been; close waits.
func (s *screen) showLoop() {
	defer s.loop.Done()
	for {
		select {
		case line := <-s.lines:
			s.write(line)
		case <-s.stop:
			for len(s.lines) > 0 { // only this goroutine receives
				s.write(<-s.lines)
			}
			return
		}
	}
}

// write writes a line. Where that fails, there is nobody to tell.
func (s *screen) write(line string) { _, _ = io.WriteString(s.w, line+"\n") }

// show shows a line as soon as those before it are shown. It fails if ctx ends, or the
// screen is closed, while it waits for them.
func (s *screen) show(ctx context.Context, line string) error {
	select {
	case s.lines <- line:
		return nil
	case <-s.stop:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note shows something about the chat.
func (s *screen) note(format string, args ...any) {
	_ = s.show(context.Background(), "* "+fmt.Sprintf(format, args...)) // fails only if it is closed
}

func (s *screen) close() {
	close(s.stop)
	s.loop.Wait()
}

// clean makes text that came from elsewhere fit to be shown: without what moves the cursor, changes
// colours or the direction of writing, or begins a line, and with at most limit bytes.
func clean(text string, limit int) string {
	out := make([]byte, 0, min(len(text), limit))
	for _, c := range text {
		switch {
		case c == '\t':
			c = ' '
		case !unicode.IsPrint(c): // controls, and what has no width or turns the direction
			c = utf8.RuneError
		}
		if len(out)+utf8.RuneLen(c) > limit {
			break
		}
		out = utf8.AppendRune(out, c)
	}
	return string(out)
}
