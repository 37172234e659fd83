package session

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// frames reads and writes the frames of one stream. One goroutine may read
// while another writes.
type frames struct {
	st     transport.Stream
	header [wire.StreamHeader]byte // of the frame being read
}

// errTruncated is the error of a stream that ended inside a frame, or before
// the frame that must be its last.
var errTruncated = errors.New("stream ended too early")

// next reads the header of the next frame. io.EOF means that the stream ended
// between frames.
func (f *frames) next() (wire.FrameType, int, error) {
	if _, err := io.ReadFull(f.st, f.header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTruncated
		}
		return 0, 0, err
	}
	t, size := wire.ParseStream(&f.header)
	if size > math.MaxInt32 {
		return 0, 0, fmt.Errorf("%w: frame of %d bytes", wire.ErrMalformed, size)
	}
	return t, int(size), nil
}

// body reads a frame's body into dst, which grow makes larger: for n bytes in all,
// with what is there. cl is the session's.
func (f *frames) body(cl *claims, dst []byte, size int, grow func(dst []byte, n int) []byte) ([]byte, error) {
	first := cl.take(size)
	defer cl.giveBack(first)
	for size > 0 {
		n := min(size, max(first, len(dst)), cap(dst)-len(dst))
		if n <= 0 {
			dst = grow(dst, len(dst)+min(size, max(first, len(dst))))
			continue
		}
		k, err := io.ReadFull(f.st, dst[len(dst):len(dst)+n])
		dst = dst[:len(dst)+k]
		size -= k
		if err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = errTruncated
			}
			return dst, err
		}
	}
	return dst, nil
}

// growFresh grows a body that is nobody's but its reader's.
func growFresh(dst []byte, n int) []byte { return append(make([]byte, 0, n), dst...) }

// small reads a frame's body that may not exceed wire.MaxOpen.
func (f *frames) small(cl *claims, size int) ([]byte, error) {
	if size > wire.MaxOpen {
		return nil, fmt.Errorf("%w: frame of %d bytes, at most %d", wire.ErrMalformed, size, wire.MaxOpen)
	}
	return f.body(cl, nil, size, growFresh)
}

// joined is how much of a message is copied behind its header, so that both
// are written at once. What is longer is written straight from the caller's
// slice.
const joined = 16 << 10

var frameBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, joined+wire.MaxLane)
	return &b
}}

// message writes a message, behind what is in before, if anything.
func (f *frames) message(before, p []byte, last bool) error {
	if len(before) > wire.MaxLane {
		if _, err := f.st.Write(before); err != nil {
			return err
		}
		before = nil
	}
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	var header [wire.StreamHeader]byte
	wire.PutStream(&header, wire.StreamMessage, len(p))
	head := append(append((*buf)[:0], before...), header[:]...)
	k := min(len(p), joined)
	head = append(head, p[:k]...)
	*buf = head
	if rest := p[k:]; len(rest) > 0 {
		if _, err := f.st.Write(head); err != nil {
			return err
		}
		head = rest
	}
	if last {
		return transport.WriteLast(f.st, head)
	}
	_, err := f.st.Write(head)
	return err
}

// outcome writes the frame that ends a call, and half-closes.
func (f *frames) outcome(e *kith.Error, trailer []byte) error {
	var dst []byte
	if e != nil {
		fail := wire.FailOf(e)
		fail.Trailer = trailer
		dst = fail.Append(wire.AppendStream(nil, wire.StreamFail))
	} else {
		dst = wire.AppendTrailer(wire.AppendStream(nil, wire.StreamEnd), trailer)
	}
	return transport.WriteLast(f.st, wire.EndStream(dst, 0))
}

// readOutcome reads the frame that ends a call.
func (f *frames) readOutcome(cl *claims, t wire.FrameType, size int) (outcome, error) {
	if t != wire.StreamEnd && t != wire.StreamFail {
		return outcome{}, fmt.Errorf("%w: stream frame of type %d", wire.ErrMalformed, t)
	}
	body, err := f.small(cl, size)
	if err != nil {
		return outcome{}, err
	}
	if t == wire.StreamFail {
		return failOutcome(body)
	}
	trailer, rest, err := wire.ParseTrailer(body)
	if err != nil {
		return outcome{}, err
	}
	if len(rest) > 0 {
		return outcome{}, fmt.Errorf("%w end of call", wire.ErrMalformed)
	}
	md, err := wire.ParseMetadata(trailer)
	return outcome{trailer: md}, err
}
