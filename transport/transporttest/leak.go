package transporttest

import (
	"testing/synctest"

	"github.com/kith-go/kith/internal/leak"
)

var leavesNothing = rule{"Transport.Close", "returns after the last of its goroutines"}

// checkLeft fails t if something is left behind by a case that ran on s. In a bubble
// it need not be patient: what runs there can be waited for.
func checkLeft(t tb, inv leak.Inventory, m mode, s Setup) {
	t.Helper()
	var text string
	if m.bubble {
		synctest.Wait()
		text, _ = inv.Left(s.IgnoreGoroutines)
	} else {
		text, _ = inv.Settle(0, s.IgnoreGoroutines)
	}
	if text != "" {
		t.Errorf("%v: left behind after both %s were closed:\n%s", s.leavesNothing(), s.ends(), leak.Cut(text))
	}
}

// leavesNothing is the rule for when all is over.
func (s Setup) leavesNothing() rule {
	if s.pipes != nil {
		return rule{"netconn.Pipe", "When both ends are closed, nothing of the pipe is left"}
	}
	return leavesNothing
}

// ends says what a case is run between.
func (s Setup) ends() string {
	if s.pipes != nil {
		return "ends"
	}
	return "transports"
}
