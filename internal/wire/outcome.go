package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/kith-go/kith"
)

// The bits of a Fail's first byte.
const (
	failUnprocessed = 1 << iota
	failDetails
	failTrailer
	failReserved
)

// maxReason is the length at which an error's reason is cut.
const maxReason = 128

// A Fail is an outcome that is an error.
type Fail struct {
	Code            kith.Code
	Reason, Message string
	Details         []byte
	Unprocessed     bool
	// Trailer is encoded metadata.
	Trailer []byte
}

// FailOf returns what travels of e. Texts are cut; details over
// [MaxErrorText] are dropped, as half of them would not decode.
func FailOf(e *kith.Error) Fail {
	f := Fail{
		Code: e.Code(), Reason: cut(e.Reason(), maxReason), Message: cut(e.Message(), MaxErrorText),
		Details: e.RawDetails(), Unprocessed: e.Unprocessed(),
	}
	if len(f.Details) > MaxErrorText {
		f.Details = nil
	}
	return f
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Append appends f as the body, or the rest of the body, of a frame.
func (f *Fail) Append(dst []byte) []byte {
	flags := len(dst)
	dst = append(dst, 0)
	dst = binary.AppendUvarint(dst, uint64(f.Code))
	dst = appendBytes(appendBytes(dst, f.Reason), f.Message)
	if f.Unprocessed {
		dst[flags] |= failUnprocessed
	}
	if len(f.Details) > 0 {
		dst[flags] |= failDetails
		dst = appendBytes(dst, f.Details)
	}
	if len(f.Trailer) > 0 {
		dst[flags] |= failTrailer
		dst = appendBytes(dst, f.Trailer)
	}
	return dst
}

// ParseFail reads what Append wrote. It copies but for Trailer.
func ParseFail(p []byte) (Fail, error) {
	r := reader{p: p}
	flags := r.byte()
	f := Fail{Code: kith.Code(min(r.uvarint(), 1<<31)), Unprocessed: flags&failUnprocessed != 0}
	f.Reason, f.Message = string(r.bytes(maxReason)), string(r.bytes(MaxErrorText))
	if flags&failDetails != 0 {
		f.Details = append([]byte(nil), r.bytes(MaxErrorText)...)
	}
	if flags&failTrailer != 0 {
		f.Trailer = r.bytes(MaxMetadata)
	}
	if r.bad || len(r.p) > 0 || flags >= failReserved || f.Code == kith.OK {
		return Fail{}, malformed("error")
	}
	return f, nil
}

// Err returns f as the error that a caller sees.
func (f *Fail) Err() *kith.Error {
	return kith.RemoteError(f.Code, f.Reason, f.Message, f.Details, f.Unprocessed)
}

// AppendTrailer appends encoded metadata with its length, which is what
// stands before an answer's message.
func AppendTrailer(dst, trailer []byte) []byte { return appendBytes(dst, trailer) }

// ParseTrailer takes encoded metadata off the front of p.
func ParseTrailer(p []byte) (trailer, rest []byte, err error) {
	r := reader{p: p}
	trailer = r.bytes(MaxMetadata)
	if r.bad {
		return nil, nil, malformed("trailer")
	}
	return trailer, r.p, nil
}
