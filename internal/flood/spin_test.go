package flood_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A spinner burns processor time.
type spinner struct {
	share float64 // processors
	stop  atomic.Bool
	loops sync.WaitGroup
	begin time.Time
	used  time.Duration // at begin
}

func newSpinner(share float64) *spinner {
	s := &spinner{share: share, begin: time.Now(), used: cpuTime()}
	for range int(math.Ceil(share)) {
		s.loops.Go(s.spinLoop)
	}
	return s
}

// spinLoop computes whenever less was burnt than is asked for. It ends when stop
// is set; close waits for it.
func (s *spinner) spinLoop() {
	const piece = 200 * time.Microsecond
	for !s.stop.Load() {
		now := time.Now()
		if float64(cpuTime()-s.used) >= s.share*float64(now.Sub(s.begin)) {
			time.Sleep(piece)
			continue
		}
		for time.Since(now) < piece {
		}
	}
}

// close ends the spinning and returns how many processors it took.
func (s *spinner) close() float64 {
	s.stop.Store(true)
	s.loops.Wait()
	return (cpuTime() - s.used).Seconds() / time.Since(s.begin).Seconds()
}

// spinnerRole burns processor time on command.
type spinnerRole struct{ s *spinner }

func (r *spinnerRole) do(c command) (any, error) {
	switch c.Do {
	case "start":
		r.s = newSpinner(c.Share)
		return nil, nil
	case "stop":
		share := r.s.close()
		r.s = nil
		return share, nil
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

func (r *spinnerRole) end() {
	if r.s != nil {
		r.s.close()
	}
}
