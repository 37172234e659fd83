package mux

import "time"

// A Pace makes a reader rest that always finds frames to read, more of them
// than anybody needs. It would never wait for the link, and a goroutine that
// never waits gives the scheduler no reason to look at the network: with one of
// them on each processor all other connections are looked at every 10 ms only,
// whatever runtime.Gosched is called for. The zero value is ready; it belongs to
// the goroutine that reads.
type Pace struct {
	units int
	since time.Time // when units was zero
}

const (
	// paceUnits in less than paceTime are too many: a million frames a second.
	paceUnits = 1024
	paceTime  = time.Millisecond
	// openUnits is what a stream counts that the other side opens: it costs a
	// goroutine here.
	openUnits = 16
	// restTime is how long a reader then rests, at the least; where nothing else
	// is to be done, the system's timers make it a millisecond.
	restTime = 100 * time.Microsecond
)

// Add counts n units, each about what a small frame costs, and rests if it is
// time to.
func (p *Pace) Add(n int) {
	if p.units += n; p.units < paceUnits {
		return
	}
	now := time.Now()
	if now.Sub(p.since) < paceTime {
		time.Sleep(restTime)
		now = time.Now()
	}
	p.units, p.since = 0, now
}
