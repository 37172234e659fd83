package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// On busy processors the reader waits until the answers are sent, and never for
// long: a handler may be blocked.
func TestReaderWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &afterFlush{sent: make(chan struct{}, 1)}
		waits := func(sendAfter, want time.Duration) {
			t.Helper()
			start, done := time.Now(), make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(sendAfter)
				a.flushed()
				a.flushed() // nobody waits any more, or somebody who comes later
			}()
			a.wait()
			if took := time.Since(start); took != want {
				t.Errorf("the reader waits %v with the answers sent after %v, want %v", took, sendAfter, want)
			}
			<-done
		}
		waits(time.Hour, 0)
		a.busy.Store(true)
		for range 3 {
			waits(maxAfter/2, maxAfter/2)
			waits(time.Hour, maxAfter)
		}
	})
}
