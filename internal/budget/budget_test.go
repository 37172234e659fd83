package budget_test

import (
	"math"
	"sync"
	"testing"

	"github.com/kith-go/kith/internal/budget"
)

func TestBudget(t *testing.T) {
	b := budget.New(10)
	for _, tt := range []struct {
		draw uint64
		ok   bool
		left uint64
	}{
		{0, true, 10},
		{11, false, 10},
		{4, true, 6},
		{7, false, 6},
		{math.MaxUint64, false, 6},
		{math.MaxUint64 - 3, false, 6},
		{6, true, 0},
		{1, false, 0},
		{0, true, 0},
	} {
		if ok := b.Draw(tt.draw); ok != tt.ok || b.Left() != tt.left || b.Used() != 10-tt.left {
			t.Errorf("Draw(%d) = %v, with %d left and %d used, want %v and %d left", tt.draw, ok, b.Left(), b.Used(), tt.ok, tt.left)
		}
	}
	b.GiveBack(10)
	if b.Left() != 10 || b.Used() != 0 {
		t.Errorf("after GiveBack of all: %d left, %d used, want 10, 0", b.Left(), b.Used())
	}
}

// However many draw at once, no more is out than there was; and who asks for
// too much does not cost another his share.
func TestBudgetShared(t *testing.T) {
	const size, each, drawers = 1000, 10, 8
	b := budget.New(size)
	var wg sync.WaitGroup
	got := make(chan int, drawers)
	for range drawers {
		wg.Go(func() {
			n := 0
			for range 2 * size / each {
				if b.Draw(size + 1) {
					t.Error("Draw of more than there is = true")
				}
				if b.Draw(each) {
					n++
				}
			}
			got <- n
		})
	}
	wg.Wait()
	close(got)
	total := 0
	for n := range got {
		total += n
	}
	if total != size/each || b.Left() != 0 {
		t.Errorf("%d draws of %d succeeded, %d left, want %d and 0", total, each, b.Left(), size/each)
	}
}
