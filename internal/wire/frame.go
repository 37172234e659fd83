package wire

import (
	"encoding/binary"
	"fmt"
)

// A FrameType is the first byte of a frame.
type FrameType uint8

// The frames of the lane. Types from 128 on are ignored, so that a later
// version can add what an earlier one need not know.
const (
	FrameHello        FrameType = 1  // tagged values; the dialler's first words
	FrameWelcome      FrameType = 2  // tagged values; the other side is admitted
	FrameRefuse       FrameType = 3  // a Fail: the other side is not admitted
	FrameCall         FrameType = 4  // call id, Head, message
	FrameAnswer       FrameType = 5  // call id, Trailer, message
	FrameFail         FrameType = 6  // call id, Fail
	FrameCancel       FrameType = 7  // call id
	FrameCancelStream FrameType = 8  // number of a stream call
	FramePing         FrameType = 9  // 8 bytes
	FramePong         FrameType = 10 // the ping's 8 bytes
	FrameDrain        FrameType = 11 // empty: make no further calls here
	FrameDrainAck     FrameType = 12 // how many stream calls were ever made
	FrameDone         FrameType = 13 // empty: every outcome has come
)

// The frames of a stream.
const (
	StreamOpen    FrameType = 1 // number of the stream call, Head; the caller's first frame
	StreamReply   FrameType = 2 // lane call id; the answerer's first frame on a stream it opened
	StreamMessage FrameType = 3 // a message
	StreamEnd     FrameType = 4 // Trailer: the call ended well
	StreamFail    FrameType = 5 // Fail: the call ended in an error
)

// ignoredFrom is the first lane frame type that is ignored when unknown.
const ignoredFrom FrameType = 128

// Ignorable reports whether a lane frame of an unknown type t is skipped
// rather than fatal.
func (t FrameType) Ignorable() bool { return t >= ignoredFrom }

// LaneHeader is the length of a lane frame's header: type(1) | length(3),
// big-endian.
const LaneHeader = 4

// AppendLane appends the header of a lane frame with room for its length,
// which EndLane fills in.
func AppendLane(dst []byte, t FrameType) []byte { return append(dst, byte(t), 0, 0, 0) }

// EndLane fills in the length of the frame that starts at start and ends with
// dst.
func EndLane(dst []byte, start int) []byte {
	n := len(dst) - start - LaneHeader
	dst[start+1], dst[start+2], dst[start+3] = byte(n>>16), byte(n>>8), byte(n)
	return dst
}

// NextLane takes the first frame off p. If p does not hold all of it, n is 0
// and need the length that p must reach. A length above [MaxLane] is an error.
func NextLane(p []byte) (t FrameType, body []byte, n, need int, err error) {
	if len(p) < LaneHeader {
		return 0, nil, 0, LaneHeader, nil
	}
	size := int(p[1])<<16 | int(p[2])<<8 | int(p[3])
	if size > MaxLane {
		return 0, nil, 0, 0, fmt.Errorf("%w: lane frame of %d bytes, at most %d", ErrMalformed, size, MaxLane)
	}
	end := LaneHeader + size
	if len(p) < end {
		return 0, nil, 0, end, nil
	}
	return FrameType(p[0]), p[LaneHeader:end:end], end, 0, nil
}

// StreamHeader is the length of a stream frame's header: type(1) | length(4),
// big-endian.
const StreamHeader = 5

// PutStream writes the header of a stream frame.
func PutStream(dst *[StreamHeader]byte, t FrameType, size int) {
	dst[0] = byte(t)
	binary.BigEndian.PutUint32(dst[1:], uint32(size))
}

// AppendStream appends the header of a stream frame with room for its length,
// which EndStream fills in.
func AppendStream(dst []byte, t FrameType) []byte { return append(dst, byte(t), 0, 0, 0, 0) }

// EndStream fills in the length of the frame that starts at start and ends
// with dst.
func EndStream(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-StreamHeader))
	return dst
}

// ParseStream reads the header of a stream frame.
func ParseStream(h *[StreamHeader]byte) (FrameType, uint32) {
	return FrameType(h[0]), binary.BigEndian.Uint32(h[1:])
}

// AppendNumber appends a whole lane frame whose body is one uvarint.
func AppendNumber(dst []byte, t FrameType, v uint64) []byte {
	start := len(dst)
	return EndLane(binary.AppendUvarint(AppendLane(dst, t), v), start)
}

// ParseNumber reads a body that is one uvarint.
func ParseNumber(body []byte) (uint64, error) {
	r := reader{p: body}
	v := r.number()
	if r.bad {
		return 0, malformed("number")
	}
	return v, nil
}

// SplitNumber takes a uvarint off the front of body.
func SplitNumber(body []byte) (v uint64, rest []byte, err error) {
	r := reader{p: body}
	v = r.uvarint()
	if r.bad {
		return 0, nil, malformed("number")
	}
	return v, r.p, nil
}
