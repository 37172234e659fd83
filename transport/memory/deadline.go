package memory

import (
	"sync"
	"time"
)

// A deadline bounds the waiting on one side of a pipe. Its fields are guarded
// by the pipe's mutex; it runs a timer only while a time in the future is set.
type deadline struct {
	at      time.Time // zero for never
	timer   *time.Timer
	expired bool
}

// set makes t the deadline. The caller holds the mutex of cond, on which the
// bounded side waits.
func (d *deadline) set(t time.Time, cond *sync.Cond) {
	d.stop()
	d.at, d.expired = t, false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	switch {
	case wait <= 0:
		d.expired = true
		cond.Broadcast()
	case d.timer == nil:
		d.timer = time.AfterFunc(wait, func() { d.expireHandler(cond) })
	default:
		d.timer.Reset(wait)
	}
}

// expireHandler ends the waiting when the timer fires. It runs on the timer's
// goroutine and ends at once. The deadline may have been moved since.
func (d *deadline) expireHandler(cond *sync.Cond) {
	cond.L.Lock()
	defer cond.L.Unlock()
	if d.at.IsZero() || d.expired {
		return
	}
	if wait := time.Until(d.at); wait > 0 {
		d.timer.Reset(wait)
		return
	}
	d.expired = true
	cond.Broadcast()
}

// stop disarms the deadline. The caller holds the mutex.
func (d *deadline) stop() {
	d.at = time.Time{}
	if d.timer != nil {
		d.timer.Stop()
	}
}
