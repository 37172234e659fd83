package mux

import (
	"bytes"
	"fmt"

	"github.com/kith-go/kith"
)

// Preface opens each direction: seven letters and the version.
const Preface = "KITHMUX\x01"

// A PrefaceError says that the other side does not speak this protocol, or
// not this version of it.
type PrefaceError struct {
	Got  []byte // what came instead of the preface, at most eight bytes
	Hint string // what it looks like, empty if nothing known
}

// Error quotes what came.
func (e *PrefaceError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("the other side does not speak kith: got %q", e.Got)
	}
	return fmt.Sprintf("the other side does not speak kith here: got %q, which looks like %s", e.Got, e.Hint)
}

// CheckPreface looks at the first bytes of a direction, of which there may be
// fewer than eight yet. It returns nil as long as they can be a preface.
func CheckPreface(b []byte) error {
	b = b[:min(len(b), len(Preface))]
	if string(b) == Preface[:len(b)] {
		return nil
	}
	return &PrefaceError{Got: bytes.Clone(b), Hint: Recognize(b)}
}

// Refusal is all that an end says to another one that it does not want to
// talk to: its preface and a CLOSE frame.
func Refusal(code kith.Code, reason string) []byte {
	return appendClose([]byte(Preface), uint32(code), cutReason(reason))
}

// Recognize names the protocol that begins with the bytes b, as far as it
// matters to somebody who connected the wrong ends. It returns "" if it does
// not know.
func Recognize(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte(Preface[:7])) && len(b) > 7:
		return fmt.Sprintf("version %d of kith", b[7])
	case bytes.HasPrefix(b, []byte(Preface[:min(len(b), 5)])) && len(b) >= 5:
		return "kith in plaintext"
	case len(b) >= 2 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 0x03:
		return "TLS"
	case bytes.HasPrefix(b, []byte("PRI ")):
		return "HTTP/2"
	case bytes.HasPrefix(b, []byte("SSH-")):
		return "SSH"
	}
	for _, word := range []string{"HTTP/", "GET ", "PUT ", "POST ", "HEAD ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH "} {
		if n := min(len(b), len(word)); n >= 3 && string(b[:n]) == word[:n] {
			return "HTTP"
		}
	}
	return ""
}
