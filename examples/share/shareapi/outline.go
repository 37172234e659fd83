package shareapi

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An Outline is the size of a content and the SHA-256 of each chunk. It is
// immutable. Get one from [Read] or [ParseOutline].
//
// It is encoded as the size in 8 bytes, big-endian, and the sums behind one another.
type Outline struct {
	encoded []byte
}

const (
	sumSize    = sha256.Size
	headSize   = 8
	maxOutline = headSize + MaxSums*sumSize
	hashLabel  = "kith examples/share content v1\n"
)

var errOutline = errors.New("not an outline")

// ChunkSize returns the size of all chunks but the last: [MinChunk], doubled
// until there are at most [MaxSums].
func ChunkSize(size int64) int64 {
	chunk := int64(MinChunk)
	for chunk < MaxChunk && chunk*MaxSums < size {
		chunk *= 2
	}
	return chunk
}

func chunks(size int64) int {
	chunk := ChunkSize(size)
	return int((size + chunk - 1) / chunk)
}

// Read makes the Outline of what r has, which must be size bytes. The end of
// ctx ends it.
func Read(ctx context.Context, r io.Reader, size int64) (*Outline, error) {
	if size < 0 || size > MaxSize {
		return nil, fmt.Errorf("content of %d bytes, at most %d", size, int64(MaxSize))
	}
	n := chunks(size)
	o := &Outline{binary.BigEndian.AppendUint64(make([]byte, 0, headSize+n*sumSize), uint64(size))}
	buf := make([]byte, min(ChunkSize(size), size))
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, length := o.Span(i)
		if _, err := io.ReadFull(r, buf[:length]); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(buf[:length])
		o.encoded = append(o.encoded, sum[:]...)
	}
	return o, nil
}

// ParseOutline reads an encoded Outline, and keeps p.
func ParseOutline(p []byte) (*Outline, error) {
	if len(p) < headSize || len(p) > maxOutline {
		return nil, errOutline
	}
	size := binary.BigEndian.Uint64(p)
	if size > MaxSize || len(p) != headSize+chunks(int64(size))*sumSize {
		return nil, errOutline
	}
	return &Outline{p}, nil
}

// Encoded returns the encoded Outline, which must not be changed.
func (o *Outline) Encoded() []byte { return o.encoded }

// Hash returns the hash that the Outline is of.
func (o *Outline) Hash() Hash {
	h := sha256.New()
	_, _ = io.WriteString(h, hashLabel) // a hash never fails
	_, _ = h.Write(o.encoded)
	return Hash(h.Sum(nil))
}

// Size returns the size of the content in bytes.
func (o *Outline) Size() int64 { return int64(binary.BigEndian.Uint64(o.encoded)) }

// Chunks returns the number of chunks, 0 if the content is empty.
func (o *Outline) Chunks() int { return chunks(o.Size()) }

// Span returns where chunk i begins, and its length. It panics if there is
// no such chunk.
func (o *Outline) Span(i int) (offset int64, length int) {
	size := o.Size()
	chunk := ChunkSize(size)
	offset = int64(i) * chunk
	if i < 0 || offset >= size {
		panic(fmt.Sprintf("shareapi: chunk %d of %d", i, o.Chunks()))
	}
	return offset, int(min(chunk, size-offset))
}

// Check reports whether p is chunk i.
func (o *Outline) Check(i int, p []byte) bool {
	_, length := o.Span(i)
	at := headSize + i*sumSize
	return len(p) == length && sha256.Sum256(p) == [sumSize]byte(o.encoded[at:at+sumSize])
}
