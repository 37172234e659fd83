package memory

import (
	"math/bits"
	"sync"
)

// A ring is a queue of bytes that grows as needed and holds no memory while
// it is empty. Whoever writes to it keeps the limit.
type ring struct {
	b    *block // nil while the ring is empty
	head int    // index of the first byte in b
	len  int
}

// A block is a ring's memory; its size is a power of two.
type block struct{ data []byte }

// Blocks of 1<<minBlock to 1<<maxBlock bytes are reused through a pool.
const minBlock, maxBlock = 9, 18

var blocks [maxBlock - minBlock + 1]sync.Pool

// getBlock returns a block of at least n bytes. Its content is arbitrary.
func getBlock(n int) *block {
	class := max(bits.Len(uint(n-1)), minBlock)
	if class <= maxBlock {
		if b, ok := blocks[class-minBlock].Get().(*block); ok {
			return b
		}
	}
	return &block{data: make([]byte, 1<<class)}
}

func putBlock(b *block) {
	if class := bits.Len(uint(len(b.data) - 1)); class <= maxBlock {
		blocks[class-minBlock].Put(b)
	}
}

// write appends a copy of p.
func (r *ring) write(p []byte) {
	if len(p) == 0 {
		return
	}
	r.grow(len(p))
	tail := (r.head + r.len) & (len(r.b.data) - 1)
	n := copy(r.b.data[tail:], p)
	copy(r.b.data, p[n:])
	r.len += len(p)
}

// grow makes room for n more bytes.
func (r *ring) grow(n int) {
	if r.b == nil {
		r.b, r.head = getBlock(n), 0
		return
	}
	if r.len+n <= len(r.b.data) {
		return
	}
	old, size := r.b, r.len
	b := getBlock(size + n)
	r.peek(b.data[:size])
	r.b, r.head = b, 0
	putBlock(old)
}

// read moves up to len(p) bytes into p.
func (r *ring) read(p []byte) int {
	n := r.peek(p)
	r.discard(n)
	return n
}

func (r *ring) peek(p []byte) int {
	n := min(len(p), r.len)
	if n == 0 {
		return 0
	}
	k := copy(p[:n], r.b.data[r.head:])
	copy(p[k:n], r.b.data)
	return n
}

// discard drops the first n bytes, of which there must be as many.
func (r *ring) discard(n int) {
	if n == 0 {
		return
	}
	r.len -= n
	if r.len == 0 {
		putBlock(r.b)
		r.b, r.head = nil, 0
		return
	}
	r.head = (r.head + n) & (len(r.b.data) - 1)
}
