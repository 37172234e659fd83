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
	tagAttempt    = 8 // uvarint
	tagHolds      = 9 // a list of uvarint: attempt<<1, plus 1 if the sender dialled
	tagEager      = 10
)

// MaxHolds is how many connections hello may list.
const MaxHolds = 16

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

	// The rest is for peers, which keep one connection per pair.

	// Attempt counts the connections that the sender ever dialled to this peer:
	// in hello this one, in welcome the last so far. Zero means that the sender
	// is no peer.
	Attempt uint64
	// Holds are the connections to this peer, beside this one, that the sender
	// has or is making.
	Holds []Held
	// Eager says that the dialler wants a neighbour and has no call to make.
	Eager bool
}

// Held names a connection between two peers as hello's sender sees it.
type Held struct {
	Mine    bool   // the sender dialled it
	Attempt uint64 // the number that the dialler's hello gave it
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
	if h.Attempt > 0 {
		dst = appendTag(dst, tagAttempt, h.Attempt)
	}
	if len(h.Holds) > 0 {
		dst = h.appendHolds(dst)
	}
	if h.Eager {
		dst = append(dst, tagEager, 0)
	}
	return dst
}

func (h *Hello) appendHolds(dst []byte) []byte {
	var list []byte
	for _, c := range h.Holds {
		n := c.Attempt << 1
		if c.Mine {
			n |= 1
		}
		list = binary.AppendUvarint(list, n)
	}
	return appendBytes(append(dst, tagHolds), list)
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
	case tagAttempt:
		h.Attempt = v.number()
	case tagHolds:
		h.setHolds(v)
	case tagEager:
		if len(v.p) > 0 {
			v.fail()
			return
		}
		h.Eager = true
	}
}

func (h *Hello) setHolds(v *reader) {
	for len(v.p) > 0 && !v.bad {
		n := v.uvarint()
		if len(h.Holds) == MaxHolds {
			v.fail()
			return
		}
		h.Holds = append(h.Holds, Held{Mine: n&1 != 0, Attempt: n >> 1})
	}
}
