// Package wire encodes and decodes what two sessions say to each other: the
// frames of the lane, the frames of call streams, hello, and the envelope of a
// call. It holds no state and does no I/O. docs/wire.md specifies the bytes.
//
// All numbers called uvarint are unsigned LEB128 of at most 64 bits, as in
// encoding/binary, in their shortest form. Decoders return slices of their
// input, never allocate by a number that they read, and never panic.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the protocol version that this package speaks.
const Version = 1

// Limits that both sides know without being told.
const (
	// MaxLane is the length in bytes of the longest body of a lane frame.
	MaxLane = 16 << 10
	// MaxHello bounds all that a side may send before it was admitted.
	MaxHello = 4 << 10
	// MaxMetadata bounds the encoded metadata of a call or an outcome.
	MaxMetadata = 16 << 10
	// MaxMetadataKeys is how many keys metadata has at most: a map of more would
	// take many times the bytes that made it.
	MaxMetadataKeys = 256
	// MaxOpen bounds the body of the frames that open a stream and end a call.
	MaxOpen = MaxMetadata + 16<<10
	// MaxLaneCalls is the most lane calls that may be open each way.
	MaxLaneCalls = 1 << SlotBits
	// SlotBits is how many low bits of a lane call's id are its slot.
	SlotBits = 13
	// MaxErrorText is the length at which an error's message and its details
	// are cut or dropped.
	MaxErrorText = 4 << 10
)

// ErrMalformed is matched by every decoding error of this package.
var ErrMalformed = errors.New("malformed")

func malformed(what string) error { return fmt.Errorf("%w %s", ErrMalformed, what) }

// A reader takes values off the front of a byte slice. After a failure it
// returns zero values, and bad stays set.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || n > 1 && r.p[n-1] == 0 { // cut short, above 64 bits, or not the shortest form
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return v
}

// number takes a uvarint that must be all there is.
func (r *reader) number() uint64 {
	v := r.uvarint()
	if len(r.p) > 0 {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) byte() byte {
	if len(r.p) == 0 {
		r.fail()
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

// bytes takes a uvarint length of at most limit, and that many bytes.
func (r *reader) bytes(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.p)) {
		r.fail()
		return nil
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) fail() {
	r.bad = true
	r.p = nil
}

func appendBytes[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
