package session

import (
	"slices"
	"sync"

	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/wire"
)

// laneSizes are the sizes of buffers for the lane. What waits on a busy lane is
// copied to the next larger one when it has outgrown its own, and all of them are
// used again. Were they grown as slices are, what they leave behind would be most of
// the garbage that 512 callers of 1 KiB make, and the largest too large to be kept.
var laneSizes = [...]int{4 << 10, 32 << 10, 128 << 10, laneRoom + wire.MaxLane + wire.LaneHeader + mux.Headroom}

// laneBuffers has a pool for each of laneSizes.
var laneBuffers [len(laneSizes)]sync.Pool

// newLaneBuffer returns a buffer that holds the headroom, and has room for n bytes
// behind it at least, if there are any as large.
func newLaneBuffer(n int) *[]byte {
	i := 0
	for i < len(laneSizes)-1 && laneSizes[i] < mux.Headroom+n {
		i++
	}
	b, ok := laneBuffers[i].Get().(*[]byte)
	if !ok {
		b = new([]byte)
		*b = make([]byte, mux.Headroom, laneSizes[i])
	}
	return b
}

// growLaneBuffer returns a buffer with what is in b and room for n more bytes, and
// gives b back if that is another one.
func growLaneBuffer(b *[]byte, n int) *[]byte {
	if cap(*b)-len(*b) >= n || cap(*b) >= laneSizes[len(laneSizes)-1] {
		return b
	}
	larger := newLaneBuffer(max(len(*b)-mux.Headroom+n, cap(*b)))
	*larger = append((*larger)[:0], *b...)
	putLaneBuffer(b)
	return larger
}

// putLaneBuffer gives b back. One that frames made larger, which come whatever room
// there is, is left to the garbage collector.
func putLaneBuffer(b *[]byte) {
	if i := slices.Index(laneSizes[:], cap(*b)); i >= 0 {
		*b = (*b)[:mux.Headroom]
		laneBuffers[i].Put(b) // somebody else's from here on
	}
}
