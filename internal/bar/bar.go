package bar

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
)

const (
	// window is how long is counted, from the first that is dropped.
	window = 50 * time.Millisecond
	// barTime is for how long a source is barred. Afterwards it is as good as any.
	barTime = 250 * time.Millisecond
	// maxSources is how many sources are counted, and barred, at a time.
	maxSources = 16
)

// A SetFilter sets a socket's filter, or removes it if the program is empty. It does not
// block, and may be called when the socket has closed.
type SetFilter func(program []bpf.RawInstruction) error

// A Bar is that of one socket. Dropped and Stop belong to one goroutine at a time. A nil Bar
// bars nobody.
type Bar struct {
	set   SetFilter // nil once it has failed
	first []bpf.Instruction
	after int // how many dropped in a window are too many

	drops  map[netip.Prefix]int // of sources, since began; what is nobody's has none
	began  time.Time
	barred []netip.Prefix // by the filter that is set, or was last
	until  time.Time      // that one is
	up     atomic.Bool    // it is set; lift removes it
	timer  *time.Timer    // runs lift; nil before the first filter
}

// Dropped notes that something of a source was dropped at the time now, and bars those that
// have sent too much. What is nobody's has a source that is not valid.
func (b *Bar) Dropped(source netip.Prefix, now time.Time) {
	if b == nil || b.set == nil {
		return
	}
	if now.Sub(b.began) > window {
		b.drops, b.began = make(map[netip.Prefix]int), now
	}
	n := b.drops[source] + 1
	if n > 1 || len(b.drops) < maxSources {
		b.drops[source] = n
	}
	if n >= b.after {
		b.bar(now)
	}
}

// bar sets a filter, or adds to the one that is set.
func (b *Bar) bar(now time.Time) {
	switch {
	case !b.up.Load():
		b.barred, b.until = nil, now.Add(barTime)
	case !b.timer.Stop():
		return // lift runs
	}
	for p, n := range b.drops {
		if n >= b.after/4 && len(b.barred) < maxSources && !slices.Contains(b.barred, p) { // it would be next
			b.barred = append(b.barred, p)
		}
	}
	clear(b.drops)
	if err := b.set(program(b.first, b.barred)); err != nil && !b.up.Load() {
		b.set = nil // the system has none, or does not let us
		return
	}
	b.up.Store(true)
	if left := b.until.Sub(now); b.timer == nil {
		b.timer = time.AfterFunc(left, b.lift)
	} else {
		b.timer.Reset(left)
	}
}

// Stop ends the timer. It is called when nothing is dropped any more and the
// socket is about to close, or has.
func (b *Bar) Stop() {
	if b != nil && b.timer != nil {
		b.timer.Stop()
	}
}

// lift lets everybody in again. If the socket has closed there is nothing to lift.
func (b *Bar) lift() {
	_ = b.set(nil)
	b.up.Store(false)
}
