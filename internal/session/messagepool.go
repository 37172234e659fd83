package session

import (
	"math/bits"
	"sync"
)

// Buffers for requests that come on streams are used again: they would be half of
// the garbage that large calls make. A buffer has one owner, who alone may give it
// back: the inStream that got it. One that was lent to the handler goes back only
// after the handler returned and the outcome was written, and not if anything that
// the handler left behind is sending or receiving then; in all other cases it is
// left to the garbage collector. Answers are never of a pool, as they belong to the
// caller.

// The pools have powers of two from 16 KiB to 1 MiB.
const (
	minMessageBits = 14
	maxMessageBits = 20
)

var messagePools [maxMessageBits - minMessageBits + 1]sync.Pool

// poisonMessages has what is given back overwritten. Tests set it, before anything
// else: so they see what is used after it was given back.
var poisonMessages bool

// newMessage returns an empty buffer for n bytes at least.
func newMessage(n int) []byte {
	class := max(0, bits.Len(uint(max(n, 1)-1))-minMessageBits)
	if n <= 1<<(minMessageBits-1) || class >= len(messagePools) {
		return make([]byte, 0, n)
	}
	if b, ok := messagePools[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, 1<<(class+minMessageBits))
}

// growMessage moves what is in b to a buffer for n bytes, and gives b back.
func growMessage(b []byte, n int) []byte {
	larger := append(newMessage(n), b...)
	putMessage(b)
	return larger
}

// putMessage gives b back, if it is of a pool's size. Nobody may hold on to it.
func putMessage(b []byte) {
	class := bits.Len(uint(cap(b))) - 1 - minMessageBits
	if class < 0 || class >= len(messagePools) || cap(b) != 1<<(class+minMessageBits) {
		return
	}
	b = b[:0]
	if poisonMessages {
		clear(b[:cap(b)])
	}
	messagePools[class].Put(&b)
}
