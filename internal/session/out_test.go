package session

import "testing"

// An answer proves that the call was read, so the next id is not to be guessed.
func TestIDsAreNotInARow(t *testing.T) {
	var o outbox
	gaps := make(map[uint64]bool)
	for range 100 {
		before := o.seq
		c := new(outCall)
		o.place(c)
		gap := o.seq - before
		if gap < 1 || gap > idGap {
			t.Fatalf("numbers of ids rise by %d, want 1 to %d", gap, idGap)
		}
		gaps[gap] = true
		o.take(c)
	}
	if len(gaps) < 10 {
		t.Errorf("%d different steps between 100 ids, want many more", len(gaps))
	}
}
