// Package ration bounds what others can make a process do, or log: whoever fails, or sends
// nonsense, at will must not fill the disk, nor take the processors.
package ration

import (
	"sync"
	"time"
)

// Lines is what may be logged of one kind. The zero value is ready; it may be used
// by any number of goroutines at once.
type Lines struct {
	mu      sync.Mutex
	began   time.Time // when the present second did; guarded by mu, like what follows
	used    int       // in it
	leftOut int       // since the last that passed
}

// Take reports whether one more may pass, of most in a second, and if so how
// many were left out since the last one did. A second begins with the first line after
// the one before it was over.
func (l *Lines) Take(most int) (leftOut int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) >= time.Second {
		l.began, l.used = now, 0
	}
	if l.used >= most {
		l.leftOut++
		return 0, false
	}
	l.used++
	leftOut, l.leftOut = l.leftOut, 0
	return leftOut, true
}
