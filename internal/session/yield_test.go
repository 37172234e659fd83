package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// What follows calls that were sent together is not taken for a lone call's, and for no
// longer than a moment.
func TestCrowdIsForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l laneBuffer
		send := func(frames int, want bool) {
			t.Helper()
			l.frames = frames
			l.noteSend()
			if got := l.crowded(); got != want {
				t.Errorf("crowded after %d frames were sent = %v, want %v", frames, got, want)
			}
		}
		send(1, false)
		send(0, false) // a ping's answer
		send(2, true)
		time.Sleep(crowdTime / 2)
		send(1, true)
		time.Sleep(crowdTime / 2)
		send(1, false)
	})
}
