package wire

import (
	"encoding/binary"
	"time"
)

// The tags of hello's values. Unknown tags are ignored; a known one may
// appear once.
const (
	tagVersion    = 1 // uvarint
	tagInstance   = 2 // 8 bytes
	tagLaneCalls  = 3 // uvarint
	tagMaxMessage = 4 // uvarint, bytes; absent means no limit
	tagPingFloor  = 5 // uvarint, milliseconds
	tagProof      = 6 // what admission presents
)

// MaxProof is the length of the longest proof that fits hello.
const MaxProof = 3 << 10

// maxPingFloor is the longest ping floor that counts.
const maxPingFloor = time.Hour

// Hello is what each side says of itself first.
type Hello struct {
	// Version is the protocol version.
	Version uint64
	// Instance is drawn at random once per process and set of sessions; a
	// second one under the same ID is a clone of the key.
	Instance [8]byte
	// LaneCalls is how many lane calls the sender lets the other side have open.
	LaneCalls int
	// MaxMessage is the largest message in bytes that the sender takes unless a
	// method says otherwise, negative for no limit.
	MaxMessage int
	// PingFloor is the shortest interval of pings that the sender puts up with.
	PingFloor time.Duration
	// Proof is what the sender's admission presents.
	Proof []byte
}

// Append appends h as the body of a hello or welcome frame.
func (h *Hello) Append(dst []byte) []byte {
	dst = appendTag(dst, tagVersion, h.Version)
	dst = append(dst, tagInstance, byte(len(h.Instance)))
	dst = append(dst, h.Instance[:]...)
	dst = appendTag(dst, tagLaneCalls, uint64(max(h.LaneCalls, 0)))
	if h.MaxMessage >= 0 {
		dst = appendTag(dst, tagMaxMessage, uint64(h.MaxMessage))
	}
	floor := min(max(h.PingFloor, 0), maxPingFloor) + time.Millisecond - 1 // rounded up
	dst = appendTag(dst, tagPingFloor, uint64(floor/time.Millisecond))
	if len(h.Proof) > 0 {
		dst = appendBytes(append(dst, tagProof), h.Proof)
	}
	return dst
}

func appendTag(dst []byte, tag byte, v uint64) []byte {
	var num [binary.MaxVarintLen64]byte
	return appendBytes(append(dst, tag), num[:binary.PutUvarint(num[:], v)])
}

// ParseHello reads the body of a hello or welcome frame. Proof is a slice of
// body. Numbers that would be too large to use are cut to what this side can.
func ParseHello(body []byte) (Hello, error) {
	h := Hello{MaxMessage: -1}
	r := reader{p: body}
	var seen uint64
	for len(r.p) > 0 {
		tag := r.uvarint()
		v := reader{p: r.bytes(MaxHello)}
		if r.bad {
			return h, malformed("hello")
		}
		if tag < 64 {
			if seen&(1<<tag) != 0 {
				return h, malformed("hello: a value twice")
			}
			seen |= 1 << tag
		}
		h.set(tag, &v)
		if v.bad {
			return h, malformed("hello value")
		}
	}
	if h.Version == 0 {
		return h, malformed("hello: no version")
	}
	return h, nil
}

func (h *Hello) set(tag uint64, v *reader) {
	const maxInt = 1<<31 - 1
	switch tag {
	case tagVersion:
		h.Version = v.number()
	case tagInstance:
		if len(v.p) != len(h.Instance) {
			v.fail()
			return
		}
		h.Instance = [8]byte(v.p)
	case tagLaneCalls:
		h.LaneCalls = int(min(v.number(), MaxLaneCalls))
	case tagMaxMessage:
		h.MaxMessage = int(min(v.number(), maxInt))
	case tagPingFloor:
		h.PingFloor = time.Duration(min(v.number(), uint64(maxPingFloor/time.Millisecond))) * time.Millisecond
	case tagProof:
		if len(v.p) > MaxProof {
			v.fail()
			return
		}
		h.Proof = v.p
	}
}
