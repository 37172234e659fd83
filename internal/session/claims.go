package session

import "sync/atomic"

const (
	// firstChunk is how much is allocated at once on the word of a frame's header. More
	// comes only as fast as its bytes do.
	firstChunk = 64 << 10
	// sureChunk is how much is, however many do so.
	sureChunk = 4 << 10
	// maxClaims is how much more the streams of a session hold in all.
	maxClaims = 4 << 20
)

// claims counts what the streams of a session hold for bytes that were announced and have
// not come: a thousand that only announce have sureChunk each. Were that so for everybody,
// calls that carry data on streams would take 13 % more processor time.
type claims struct{ held atomic.Int64 }

// take returns how much to allocate for a frame of size bytes. It is given back when the
// frame has come.
func (c *claims) take(size int) int {
	n := min(size, firstChunk)
	if n <= sureChunk || c.held.Add(int64(n)) <= maxClaims {
		return n
	}
	c.giveBack(n)
	return sureChunk
}

func (c *claims) giveBack(n int) {
	if n > sureChunk {
		c.held.Add(int64(-n))
	}
}
