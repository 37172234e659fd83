package transporttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/kith-go/kith/transport"
)

// A pattern is an endless sequence of bytes in which each offset tells: data
// that is lost, repeated, swapped or another stream's does not match.
type pattern uint64

// word returns the eight bytes at 8*i.
func (p pattern) word(i int64) uint64 {
	v := (uint64(i) + uint64(p)<<40 + 1) * 0x9e3779b97f4a7c15
	return v ^ v>>29
}

// A block is a piece of a pattern on its way into a slice or a comparison.
type block [512]byte

// at returns the bytes from off on, n of them or as many as there is room for
// in made. That is private to the caller, and so nothing for the race detector,
// under which to check each word costs ten times what making it does.
//
//go:norace
func (p pattern) at(made *block, off int64, n int) []byte {
	first, skip := off/8, int(off%8)
	n = min(n, len(made)-skip)
	for i := 0; i < skip+n; i += 8 {
		binary.LittleEndian.PutUint64(made[i:], p.word(first+int64(i/8)))
	}
	return made[skip : skip+n]
}

// fill writes the bytes from off on into b.
func (p pattern) fill(b []byte, off int64) {
	var made block
	for len(b) > 0 {
		n := copy(b, p.at(&made, off, len(b)))
		b, off = b[n:], off+int64(n)
	}
}

// bytes returns the first n.
func (p pattern) bytes(n int) []byte {
	b := make([]byte, n)
	p.fill(b, 0)
	return b
}

// wrong returns the offset of the first byte that differs, -1 if none does.
func (p pattern) wrong(b []byte, off int64) int64 {
	var made block
	for len(b) > 0 {
		want := p.at(&made, off, len(b))
		if !bytes.Equal(b[:len(want)], want) {
			for i := range want {
				if b[i] != want[i] {
					return off + int64(i)
				}
			}
		}
		b, off = b[len(want):], off+int64(len(want))
	}
	return -1
}

var scribbles = bytes.Repeat([]byte{0xee}, 4<<10)

// scribble overwrites what the transport must not look at any more.
func scribble(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, scribbles):]
	}
}

// write writes b, all of it, and scribbles over it.
func (r *run) write(w io.Writer, b []byte) {
	n, err := w.Write(b)
	if err != nil || n != len(b) {
		r.fatalf("Write(%d bytes) = %d, %v, want %d, nil", len(b), n, err, len(b))
	}
	scribble(b)
}

// send writes the first n bytes of p in pieces of random size.
func (r *run) send(w io.Writer, p pattern, n int) {
	rng := rand.New(rand.NewPCG(uint64(p), 1))
	buf := make([]byte, min(maxPiece, n))
	for off := 0; off < n; {
		b := buf[:min(pieceSize(rng), n-off)]
		p.fill(b, int64(off))
		r.write(w, b)
		off += len(b)
	}
}

const maxPiece = 64 << 10

// pieceSize is sometimes tiny, sometimes up to maxPiece.
func pieceSize(rng *rand.Rand) int {
	return 1 + rng.IntN(1+rng.IntN(maxPiece))
}

// receive reads the first n bytes of p and then io.EOF.
func (r *run) receive(s transport.Stream, p pattern, n int) {
	r.receiveFrom(s, p, 0, n)
	r.expectEOF(s)
}

// receiveFrom reads the bytes from off up to end of p, in pieces of random size.
func (r *run) receiveFrom(from io.Reader, p pattern, off, end int) {
	rng := rand.New(rand.NewPCG(uint64(p), 2))
	buf := make([]byte, max(0, min(maxPiece, end-off)))
	for off < end {
		n, err := from.Read(buf[:min(pieceSize(rng), end-off)])
		if at := p.wrong(buf[:n], int64(off)); at >= 0 {
			r.fatalf("the byte at %d is not the one written", at)
		}
		if off += n; err != nil && (off < end || err != io.EOF) {
			r.fatalf("Read() = %v after %d of %d bytes", err, off, end)
		}
	}
}

// drain reads until an error, which it returns; what came must match p from
// off on.
func (r *run) drain(s transport.Stream, p pattern, off int64) (n int64, err error) {
	buf := make([]byte, 32<<10)
	for {
		k, err := s.Read(buf)
		if at := p.wrong(buf[:k], off+n); at >= 0 {
			r.fatalf("the byte at %d is not the one written", at)
		}
		if n += int64(k); err != nil {
			return n, err
		}
	}
}

// expect reads as many bytes as want has, which must be those.
func (r *run) expect(from io.Reader, want []byte) {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(from, got); err != nil {
		r.fatalf("Read() = %v after %d of %d bytes", err, n, len(want))
	}
	if string(got) != string(want) {
		r.fatalf("Read() = %.40q, want %.40q", got, want)
	}
}

func (r *run) expectEOF(from io.Reader) {
	var b [1]byte
	for {
		n, err := from.Read(b[:])
		if n != 0 {
			r.fatalf("Read() = %q after the end of what was written, want io.EOF", b[:n])
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			r.fatalf("Read() = %v at the end of what was written, want io.EOF", err)
		}
	}
}

func (r *run) closeWrite(s transport.Stream) {
	if err := s.CloseWrite(); err != nil {
		r.fatalf("CloseWrite() = %v, want nil", err)
	}
}

func (r *run) close(s transport.Stream) {
	if err := s.Close(); err != nil {
		r.fatalf("Close() = %v, want nil", err)
	}
}

// echo sends n bytes over a new stream of a served connection and reads them back.
func (r *run) echo(s transport.Stream, p pattern, n int) {
	r.all(
		func() { r.send(s, p, n); r.closeWrite(s) },
		func() { r.receive(s, p, n) },
	)
	r.close(s)
}

// finishStream ends a stream at both ends in the orderly way.
func (r *run) finishStream(near, far transport.Stream) {
	r.closeWrite(near)
	r.closeWrite(far)
	r.expectEOF(near)
	r.expectEOF(far)
	r.close(near)
	r.close(far)
}

// stall is how long a Write must not get on before it counts as blocked. It
// decides how much is in flight, never whether a case passes.
const stall = 100 * time.Millisecond

// fill writes p to s until the other side grants no room any more, and
// returns how much was taken. It fails the case above MaxBuffered.
func (r *run) fill(s transport.Stream, p pattern, chunk int) (n int64) {
	buf := make([]byte, chunk)
	for {
		p.fill(buf, n)
		if err := s.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			r.fatalf("SetWriteDeadline() = %v, want nil", err)
		}
		k, err := s.Write(buf)
		scribble(buf)
		n += int64(k)
		if limit := r.maxBuffered(); limit > 0 && n > limit {
			r.fatalf("%d bytes written while the other side read nothing, want at most %d", n, limit)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			r.fatalf("Write() with a deadline = %v, want os.ErrDeadlineExceeded", err)
		}
		if err := s.SetWriteDeadline(time.Time{}); err != nil {
			r.fatalf("SetWriteDeadline() = %v, want nil", err)
		}
		return n
	}
}

func (r *run) maxBuffered() int64 {
	if r.MaxBuffered == 0 {
		return defaultMaxBuffered
	}
	return r.MaxBuffered
}

// streamLimit is how many streams may be open, at most most.
func (r *run) streamLimit(most int) int {
	n := r.MaxStreams
	if n == 0 {
		n = defaultMaxStreams
	}
	if n < 0 {
		return most
	}
	return min(n, most)
}
