package mux

import (
	"encoding/binary"
	"fmt"
)

// A kind is a frame's type, in the high half of its first byte.
type kind uint8

const (
	kindData    kind = 0x10
	kindReset   kind = 0x20
	kindStop    kind = 0x30
	kindWindow  kind = 0x40
	kindStreams kind = 0x50
	kindClose   kind = 0x60
)

// Flags, in the low half of a frame's first byte.
const (
	flagOpen    = 0x1 // DATA, RESET: the first frame of its stream
	flagEnd     = 0x2 // DATA: the last one; nothing follows on the stream
	flagStream  = 0x4 // DATA: the sender had to wait for credit of the stream
	flagConn    = 0x8 // DATA: the sender had to wait for credit of the connection
	dataFlags   = flagOpen | flagEnd | flagStream | flagConn
	waitedFlags = flagStream | flagConn
)

// The numbers of the protocol, see the package comment.
const (
	headerLen     = 12
	maxData       = 64 << 10 // payload of one DATA frame of a stream
	maxLane       = 1 << 20  // payload of one DATA frame of the lane
	maxReason     = 256
	frameOverhead = 64 // added to a payload's length in the credit it costs

	initialStreams = 16
	streamWindow   = 256 << 10
	connWindow     = 1 << 20
)

// A header is the decoded form of a frame's first twelve bytes.
type header struct {
	kind   kind
	flags  uint8
	length int
	id     uint64
}

// A FrameError says that the other side broke the protocol.
type FrameError struct {
	What string // a phrase, without text from outside
}

// Error returns the phrase.
func (e *FrameError) Error() string { return "mux protocol: " + e.What }

func frameErrorf(format string, args ...any) error {
	return &FrameError{What: fmt.Sprintf(format, args...)}
}

// putHeader writes h to the first headerLen bytes of b.
func putHeader(b []byte, h header) {
	binary.BigEndian.PutUint32(b, uint32(h.kind)<<24|uint32(h.flags)<<24|uint32(h.length))
	binary.BigEndian.PutUint64(b[4:], h.id)
}

func appendHeader(dst []byte, h header) []byte {
	var b [headerLen]byte
	putHeader(b[:], h)
	return append(dst, b[:]...)
}

// parseHeader decodes the first headerLen bytes of b and checks all that can
// be told without knowing the connection.
func parseHeader(b []byte) (header, error) {
	word := binary.BigEndian.Uint32(b)
	h := header{
		kind:   kind(word >> 24 & 0xf0),
		flags:  uint8(word >> 24 & 0x0f),
		length: int(word & 0xffffff),
		id:     binary.BigEndian.Uint64(b[4:]),
	}
	return h, h.check()
}

func (h header) check() error {
	ok := false
	switch h.kind {
	case kindData:
		if h.id == 0 {
			ok = h.flags == 0 && h.length <= maxLane
		} else {
			ok = h.length <= maxData
		}
	case kindReset:
		ok = h.flags&^flagOpen == 0 && h.length == 4 && h.id != 0
	case kindStop:
		ok = h.flags == 0 && h.length == 4 && h.id != 0
	case kindWindow:
		ok = h.flags == 0 && h.length == 8
	case kindStreams:
		ok = h.flags == 0 && h.length == 8 && h.id == 0
	case kindClose:
		ok = h.flags == 0 && h.length >= 4 && h.length <= 4+maxReason && h.id == 0
	default:
		return frameErrorf("unknown frame type 0x%02x", uint8(h.kind)|h.flags)
	}
	if !ok {
		return frameErrorf("frame 0x%02x of %d bytes on stream %d", uint8(h.kind)|h.flags, h.length, h.id)
	}
	return nil
}

// appendCode appends a RESET or STOP frame.
func appendCode(dst []byte, k kind, flags uint8, id uint64, code uint32) []byte {
	dst = appendHeader(dst, header{kind: k, flags: flags, length: 4, id: id})
	return binary.BigEndian.AppendUint32(dst, code)
}

// appendLimit appends a WINDOW or STREAMS frame.
func appendLimit(dst []byte, k kind, id uint64, limit uint64) []byte {
	dst = appendHeader(dst, header{kind: k, length: 8, id: id})
	return binary.BigEndian.AppendUint64(dst, limit)
}

// appendClose appends a CLOSE frame; reason is at most maxReason bytes.
func appendClose(dst []byte, code uint32, reason string) []byte {
	dst = appendHeader(dst, header{kind: kindClose, length: 4 + len(reason)})
	dst = binary.BigEndian.AppendUint32(dst, code)
	return append(dst, reason...)
}
