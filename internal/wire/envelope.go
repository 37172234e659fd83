package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/kith-go/kith"
)

// The bits of a Head's first byte. The low three are the kith.Kind.
const (
	headKind     = 0x07
	headDeadline = 0x08
	headMetadata = 0x10
	headCodec    = 0x60 // 0: raw, 1: json, 2: named
	codecRaw     = 0x00
	codecJSON    = 0x20
	codecNamed   = 0x40
	headReserved = 0x80
)

// maxCodecName is the length of the longest codec name.
const maxCodecName = 32

// A Head says what is called and how.
type Head struct {
	Kind   kith.Kind
	Method []byte
	Codec  []byte
	// Timeout is what is left until the deadline, rounded up to microseconds,
	// zero for none.
	Timeout time.Duration
	// Metadata is the encoded metadata; decode it with ParseMetadata.
	Metadata []byte
}

// AppendHead appends the head of a call. metadata is encoded already.
func AppendHead(dst []byte, kind kith.Kind, method, codec string, timeout time.Duration, metadata []byte) []byte {
	flags := len(dst)
	dst = append(dst, byte(kind))
	dst = appendBytes(dst, method)
	switch codec {
	case "raw":
	case "json":
		dst[flags] |= codecJSON
	default:
		dst[flags] |= codecNamed
		dst = appendBytes(dst, codec)
	}
	if timeout > 0 {
		dst[flags] |= headDeadline
		dst = binary.AppendUvarint(dst, uint64((timeout+time.Microsecond-1)/time.Microsecond))
	}
	if len(metadata) > 0 {
		dst[flags] |= headMetadata
		dst = appendBytes(dst, metadata)
	}
	return dst
}

var rawName, jsonName = []byte("raw"), []byte("json")

// ParseHead takes a Head off the front of p. Its slices are parts of p.
func ParseHead(p []byte) (h Head, rest []byte, err error) {
	r := reader{p: p}
	flags := r.byte()
	h.Kind = kith.Kind(flags & headKind)
	h.Method = r.bytes(kith.MaxMethodName)
	switch flags & headCodec {
	case codecRaw:
		h.Codec = rawName
	case codecJSON:
		h.Codec = jsonName
	case codecNamed:
		h.Codec = r.bytes(maxCodecName)
	default:
		r.fail()
	}
	if flags&headDeadline != 0 {
		// A time that does not fit counts as the longest that does.
		us := min(r.uvarint(), uint64(1<<63-1)/uint64(time.Microsecond))
		h.Timeout = max(1, time.Duration(us)*time.Microsecond)
	}
	if flags&headMetadata != 0 {
		h.Metadata = r.bytes(MaxMetadata)
	}
	if r.bad || flags&headReserved != 0 || h.Kind < kith.KindUnary || h.Kind > kith.KindNotify {
		return Head{}, nil, malformed("call head")
	}
	return h, r.p, nil
}

// AppendMetadata appends md, sorted by key, or says which rule it breaks.
func AppendMetadata(dst []byte, md kith.Metadata) ([]byte, error) {
	if len(md) > MaxMetadataKeys {
		return dst, fmt.Errorf("metadata of %d keys, at most %d", len(md), MaxMetadataKeys)
	}
	start := len(dst)
	keys := make([]string, 0, len(md))
	for k := range md {
		if !validKey(k) {
			return dst[:start], fmt.Errorf("metadata key %.80q: want 1 to 64 of a-z, 0-9, '-', '_', '.'", k)
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		dst = appendBytes(appendBytes(dst, k), md[k])
	}
	if n := len(dst) - start; n > MaxMetadata {
		return dst[:start], fmt.Errorf("metadata of %d bytes, at most %d", n, MaxMetadata)
	}
	return dst, nil
}

// ParseMetadata reads what AppendMetadata wrote. It copies, and refuses bad
// and repeated keys, and too many. All keys and values share one copy.
func ParseMetadata(p []byte) (kith.Metadata, error) {
	if len(p) == 0 {
		return nil, nil
	}
	n := 0
	r := reader{p: p}
	for ; len(r.p) > 0 && n <= MaxMetadataKeys; n++ {
		r.bytes(maxKey)
		r.bytes(MaxMetadata)
	}
	if r.bad || n > MaxMetadataKeys {
		return nil, malformed("metadata")
	}
	md := make(kith.Metadata, n)
	r = reader{p: p}
	all := string(p)
	next := func(limit int) string {
		size := len(r.bytes(limit))
		end := len(all) - len(r.p)
		return all[end-size : end]
	}
	for i := range n {
		k := next(maxKey)
		v := next(MaxMetadata)
		if md[k] = v; len(md) == i || !validKey(k) { // the key is there already, or none
			return nil, malformed("metadata")
		}
	}
	return md, nil
}

// maxKey is how long a key may be.
const maxKey = 64

func validKey(k string) bool {
	for _, c := range []byte(k) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return len(k) > 0 && len(k) <= maxKey
}
