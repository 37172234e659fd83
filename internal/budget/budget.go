// Package budget holds what all connections of a process share: how much
// memory the other sides together can make it hold beyond what each of them
// may in any case.
package budget

import "sync/atomic"

// Windows is by how many bytes the receive windows of all connections may
// grow, over every transport, beyond the size that each begins with. It bounds
// the memory for data that came and was not read.
var Windows = New(1 << 30)

// A Budget is a number of bytes that many draw from and give back to. Get one
// with [New]. Its methods may be called at once from any number of goroutines.
type Budget struct {
	size uint64
	used atomic.Uint64 // <= size, always
}

// New makes a budget of n bytes.
func New(n uint64) *Budget { return &Budget{size: n} }

// Draw takes n bytes, or nothing if less is left, which it reports.
func (b *Budget) Draw(n uint64) bool {
	for {
		used := b.used.Load()
		if n > b.size-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// GiveBack returns n bytes that were drawn.
func (b *Budget) GiveBack(n uint64) { b.used.Add(-n) }

// Used returns how much is drawn at the moment.
func (b *Budget) Used() uint64 { return b.used.Load() }

// Left returns how much may be drawn at the moment.
func (b *Budget) Left() uint64 { return b.size - b.used.Load() }
