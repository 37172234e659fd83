package session

import (
	"bytes"
	"slices"
	"testing"

	"github.com/kith-go/kith/internal/mux"
)

// What waits keeps its bytes while its buffer grows, and every buffer that a busy
// lane leaves behind is one that the pools take back.
func TestLaneBufferGrows(t *testing.T) {
	var l laneBuffer
	frame := bytes.Repeat([]byte("0123456789abcdef"), 65) // longer than 1 KiB, and no power of two
	var want []byte
	for l.hasRoom(len(frame)) {
		b := l.bytes(len(frame))
		*b = append(*b, frame...)
		want = append(want, frame...)
		if !slices.Contains(laneSizes[:], cap(*b)) {
			t.Fatalf("the buffer of %d bytes has a capacity of %d, want one of %v", len(*b), cap(*b), laneSizes)
		}
	}
	if l.size() < laneRoom-len(frame) {
		t.Errorf("%d bytes wait, want %d at least", l.size(), laneRoom-len(frame))
	}
	if !bytes.Equal((*l.buf)[mux.Headroom:], want) {
		t.Error("the buffer does not hold what was appended")
	}
	putLaneBuffer(l.buf)
}

// Frames that wait for no room may make a buffer larger than all others. It is
// sent whole, and not kept.
func TestLaneBufferBeyondRoom(t *testing.T) {
	var l laneBuffer
	b := l.bytes(laneRoom)
	*b = append(*b, make([]byte, 2*laneRoom)...)
	if again := l.bytes(100); again != b || l.size() != 2*laneRoom {
		t.Errorf("bytes(100) holds %d bytes in the same buffer: %v, want %d, true", l.size(), again == b, 2*laneRoom)
	}
	putLaneBuffer(b)
	if len(*b) != mux.Headroom+2*laneRoom {
		t.Error("a buffer of no pool's size was given to one")
	}
}
