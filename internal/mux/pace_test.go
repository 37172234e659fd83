package mux

import (
	"testing"
	"testing/synctest"
	"time"
)

// A reader rests while more comes than paceUnits in paceTime, and at no other
// time.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(p *Pace, units, times int) time.Duration {
			start := time.Now()
			for range times {
				p.Add(units)
			}
			return time.Since(start)
		}
		var p Pace
		if d := took(&p, 1, paceUnits); d != 0 {
			t.Errorf("the first %d units took %v, want no rest", paceUnits, d)
		}
		if d := took(&p, 1, 3*paceUnits); d != 3*restTime {
			t.Errorf("%d units at once took %v, want %v", 3*paceUnits, d, 3*restTime)
		}
		if d := took(&p, openUnits, paceUnits/openUnits); d != restTime {
			t.Errorf("%d streams at once took %v, want %v", paceUnits/openUnits, d, restTime)
		}
		for range 4 {
			time.Sleep(paceTime)
			if d := took(&p, 1, paceUnits); d != 0 {
				t.Errorf("%d units after %v took %v, want no rest", paceUnits, paceTime, d)
			}
		}
	})
}
