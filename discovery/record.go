package discovery

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/kith-go/kith"
)

// The limits of a record. What goes beyond them cannot be signed and is not
// accepted.
const (
	MaxSize     = 900 // bytes of a signed record: it must fit into one mDNS packet, in base64
	MaxAddrs    = 16
	MaxAddr     = 128 // bytes of one address
	MaxServices = 32
)

// A Record says who a node is, where it can be reached and what it offers. It is
// a value: nothing changes it after Sign or Open returned it, and nobody may.
type Record struct {
	ID       kith.ID   // whose record it is, and who signed it
	Network  Tag       // which network it belongs to
	Sequence uint64    // higher in every record that an ID signs, over restarts, too; zero only if nobody signed it
	Expires  time.Time // not to be used from then on, by the receiver's wall clock; whole seconds
	Addrs    []string  // like "quic://192.168.1.7:4433", without an ID, best first; none says goodbye
	Services []Tag     // of the services that it offers, in rising order
}

// IsGoodbye says that the node leaves: it has no address any more.
func (r Record) IsGoodbye() bool { return len(r.Addrs) == 0 }

// A Signed record is a record's only form outside of a process: canonical bytes
// and the signature of its ID. The zero value holds nothing. Get one from [Sign] or [Open].
// It is immutable.
type Signed struct {
	rec Record
	raw string
}

// Sign fills in key's ID and signs r. It cuts Expires to whole seconds, and refuses a record beyond
// the limits, or one that is not canonical: a zero sequence, services that do not rise, an address that
// cannot be one. Such errors match [ErrRecord]; others are those of key. r's slices are not kept.
func Sign(key *kith.Key, r Record) (Signed, error) {
	r.ID = key.ID()
	body, err := encode(r)
	if err != nil {
		return Signed{}, fmt.Errorf("sign: %w", err)
	}
	sig, err := sign(key, body)
	if err != nil {
		return Signed{}, fmt.Errorf("discovery: sign: %w", err)
	}
	return decode(append(body, sig...)), nil
}

// Open checks the form of p and the signature, and returns what was signed. Whether it
// is for this network, new, and not expired is for a [Table] to say. p is not
// kept. Every error matches [ErrRecord].
//
// A record has one encoding: what differs from p in any byte does not open, or opens as another
// record. The exception is a second signature under the same words, which only the key's holder can make.
func Open(p []byte) (Signed, error) {
	if err := checkForm(p); err != nil {
		return Signed{}, err
	}
	if err := checkSignature(p); err != nil {
		return Signed{}, err
	}
	return decode(p), nil
}

// Record returns what was signed. Its slices are not to be changed.
func (s Signed) Record() Record { return s.rec }

// IsZero says that s holds nothing.
func (s Signed) IsZero() bool { return s.raw == "" }

// Append appends the bytes that [Open] takes.
func (s Signed) Append(dst []byte) []byte { return append(dst, s.raw...) }

// ErrRecord is in the chain of every error of [Open]: the bytes are no
// record, or not one that its ID signed.
var ErrRecord = errors.New("discovery: bad record")

// badRecord is an ErrRecord with the reason.
func badRecord(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRecord, fmt.Errorf(format, args...))
}

func fingerprint(t Tag) string { return hex.EncodeToString(t[:]) }
