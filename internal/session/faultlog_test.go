package session_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
)

var fail = kith.Unary[string, bool]("test/Fail")

// Handlers that panic or fail at the will of a caller write ten stacks and a
// hundred lines a second, and how many more there would have been.
func TestFaultsAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		var h kith.Handlers
		fail.Handle(&h, func(_ context.Context, how string) (bool, error) {
			if how == "panic" {
				panic("as asked for")
			}
			return false, errors.New("as asked for")
		})
		p := connect(t, overMemory(t), &h, func(c *session.Config) { c.Logger = textLogger(&text) })
		do := func(how string, n int) {
			t.Helper()
			var calls sync.WaitGroup
			for range n {
				calls.Go(func() {
					if _, err := fail.Call(t.Context(), p.dialed, how); kith.CodeOf(err) != kith.Internal {
						t.Errorf("Call(%q) = %v, want %v", how, err, kith.Internal)
					}
				})
			}
			calls.Wait()
		}
		check := func(what, substr string, want int) {
			t.Helper()
			if got := strings.Count(text.String(), substr); got != want {
				t.Errorf("%s: %d of %q in the log, want %d", what, got, substr, want)
			}
		}
		do("panic", 60)
		check("60 panics", "handler failed", 60)
		check("60 panics", " stack=", 10)
		do("error", 300)
		check("300 errors behind them", "handler failed", 100)
		time.Sleep(time.Second)
		do("panic", 1)
		check("a second later", "handler failed", 101)
		check("a second later", " stack=", 11)
		check("a second later", "stacks_left_out=50", 1)
		check("a second later", " left_out=260", 1)
		do("error", 99)
		do("panic", 1)
		check("a panic among errors", "handler failed", 201)
		check("a panic among errors", " stack=", 12)
	})
}
