package session

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/kith-go/kith/internal/wire"
)

// Whatever numbers the other side cancels before it opens them, few are kept, and those
// that may still come are.
func TestEarlyCancelsAreBounded(t *testing.T) {
	const sent = 5 * maxCancelled
	for _, tt := range []struct {
		name   string
		number func(i uint64) uint64
	}{
		{"rising", func(i uint64) uint64 { return i }},
		{"falling", func(i uint64) uint64 { return math.MaxUint64 - i }},
		{"falling to 0", func(i uint64) uint64 { return sent - 1 - i }},
		{"from both ends", func(i uint64) uint64 { return i ^ -(i & 1) }},
	} {
		s := new(Session)
		most, last := 0, uint64(0)
		for i := range uint64(sent) {
			n := tt.number(i)
			last = max(last, n)
			if err := s.onCancel(wire.FrameCancelStream, binary.AppendUvarint(nil, n)); err != nil {
				t.Fatalf("%s: onCancel(%d) = %v, want nil", tt.name, n, err)
			}
			most = max(most, len(s.in.cancelled))
		}
		if most > maxCancelled {
			t.Errorf("%s: %d cancels are kept, want %d at most", tt.name, most, maxCancelled)
		}
		if _, ok := s.in.cancelled[last]; !ok {
			t.Errorf("%s: the cancel of %d, the highest number, is forgotten", tt.name, last)
		}
	}
}
