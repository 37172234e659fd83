package mux

import (
	"bytes"
	"math/bits"
	"sync"
)

// A chunk is a pooled buffer; b[r:w] is what it holds. Chunks form a stream's
// queue of unread data and a connection's queue of frames to write. The pools
// hold powers of two from 512 bytes to 64 KiB, so that a chunk made for a
// payload is at least half full.
type chunk struct {
	b        []byte
	r, w     int
	next     *chunk
	overhead uint64 // cost beyond the bytes themselves, credited when the chunk is used up
}

const (
	minChunkBits = 9
	maxChunkBits = 16
)

var chunkPools [maxChunkBits - minChunkBits + 1]sync.Pool

func chunkClass(n int) int {
	return max(0, bits.Len(uint(max(n, 1)-1))-minChunkBits)
}

// newChunk returns an empty chunk for n bytes at least.
func newChunk(n int) *chunk {
	class := chunkClass(n)
	if class >= len(chunkPools) {
		return &chunk{b: make([]byte, n)}
	}
	if ch, ok := chunkPools[class].Get().(*chunk); ok {
		if poison != nil {
			ch.unpoison()
		}
		return ch
	}
	return &chunk{b: make([]byte, 1<<(class+minChunkBits))}
}

// free gives the chunk back. Nobody may hold on to it or its bytes.
func (ch *chunk) free() {
	class := chunkClass(len(ch.b))
	if class >= len(chunkPools) || len(ch.b) != 1<<(class+minChunkBits) {
		return
	}
	ch.w, ch.next, ch.overhead = 0, nil, 0
	if poison != nil {
		ch.poison()
	} else {
		ch.r = 0
	}
	chunkPools[class].Put(ch)
}

// poison, which tests set, is what chunks hold while they are free: newChunk looks
// for those that were used after they were given back. It is as long as a chunk gets:
// to copy and compare whole ones costs far less under the race detector than bytes.
var poison []byte

func (ch *chunk) poison() {
	if ch.r < 0 {
		panic("mux: chunk given back twice")
	}
	ch.r = -1
	copy(ch.b, poison)
}

func (ch *chunk) unpoison() {
	ch.r = 0
	if !bytes.Equal(ch.b, poison[:len(ch.b)]) {
		panic("mux: chunk written after it was given back")
	}
}

func (ch *chunk) bytes() []byte { return ch.b[ch.r:ch.w] }

func (ch *chunk) room() int { return len(ch.b) - ch.w }

// append copies p, for which there must be room.
func (ch *chunk) append(p []byte) {
	ch.w += copy(ch.b[ch.w:], p)
}

// A chunkQueue is a first-in-first-out list of chunks.
type chunkQueue struct {
	head, tail *chunk
	len        int
}

func (q *chunkQueue) push(ch *chunk) {
	if q.tail == nil {
		q.head = ch
	} else {
		q.tail.next = ch
	}
	q.tail = ch
	q.len++
}

func (q *chunkQueue) pop() *chunk {
	ch := q.head
	if ch == nil {
		return nil
	}
	if q.head = ch.next; q.head == nil {
		q.tail = nil
	}
	ch.next = nil
	q.len--
	return ch
}
