package discoverytest

import (
	"testing/synctest"

	"github.com/kith-go/kith/internal/leak"
)

var leavesNothing = rule{"Discovery.Close", "returns after the last of its goroutines has ended"}

// checkLeft fails t if something is left behind. In a bubble all that runs is
// waited for first.
func checkLeft(t tb, inv leak.Inventory, bubble bool, ignore []string) {
	t.Helper()
	if bubble {
		synctest.Wait()
	}
	if text, ok := inv.Settle(0, ignore); !ok {
		t.Errorf("%v: left behind after all nodes were closed:\n%s", leavesNothing, leak.Cut(text))
	}
}
