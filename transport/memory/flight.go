package memory

import (
	"container/heap"
	"time"
)

// A piece is something in flight: bytes of a pipe, or something to do.
type piece struct {
	at   time.Time // when it arrives
	seq  uint64    // decides between pieces of the same time
	pipe *pipe
	n    int
	fin  bool
	do   func() // if pipe is nil
}

// A flight is a heap of pieces by time of arrival.
type flight []*piece

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if f[i].at.Equal(f[j].at) {
		return f[i].seq < f[j].seq
	}
	return f[i].at.Before(f[j].at)
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(m any)   { *f = append(*f, m.(*piece)) }
func (f *flight) Pop() any {
	last := len(*f) - 1
	m := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return m
}

// postpone makes everything arrive at t at the earliest.
func (f *flight) postpone(t time.Time) {
	for _, m := range *f {
		if m.at.Before(t) {
			m.at = t
			if m.pipe != nil && m.pipe.flow.last.Before(t) {
				m.pipe.flow.last = t
			}
		}
	}
	heap.Init(f)
}
