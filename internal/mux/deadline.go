package mux

import "time"

// A deadline is a point in time at which blocked calls are woken. It is
// guarded by its connection's mutex.
type deadline struct {
	at    time.Time // with a monotonic reading; zero for none
	timer *time.Timer
}

// set moves the deadline; the zero time removes it. wake, always the same, runs
// at it with s and without the mutex, perhaps also once for a deadline that
// was moved since: it must look at expired.
func (d *deadline) set(t time.Time, s *Stream, wake func(*Stream)) {
	if t.IsZero() {
		d.at = time.Time{}
		d.stop()
		return
	}
	// A time without monotonic reading must not be compared with the clock
	// twice: it could be before it in one look and after it in the other.
	left := max(0, time.Until(t))
	d.at = time.Now().Add(left)
	switch {
	case left == 0:
		d.stop()
	case d.timer == nil:
		d.timer = time.AfterFunc(left, func() { wake(s) })
	default:
		d.timer.Reset(left)
	}
}

func (d *deadline) expired() bool {
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
