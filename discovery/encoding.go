package discovery

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kith-go/kith"
)

// A signed record is, numbers being big-endian:
//
//	version    1 byte, 1
//	id        32 bytes
//	network    8 bytes
//	sequence   8 bytes, not zero
//	expires    8 bytes, seconds since 1970, up to the year 9999
//	addresses  1 byte, how many; each: 1 byte of length, then so many
//	services   1 byte, how many; each: 8 bytes, higher than the one before
//	signature 64 bytes, Ed25519 over signPrefix and all of the above
//
// The first part has a fixed size, so that a table can refuse most records before it looks any further.
const (
	version = 1

	atID       = 1
	atNetwork  = atID + len(kith.ID{})
	atSequence = atNetwork + len(Tag{})
	atExpires  = atSequence + 8
	headSize   = atExpires + 8

	minSize = headSize + 2 + ed25519.SignatureSize
)

// signPrefix keeps a signature under a record from being one under anything else that a key signs.
const signPrefix = "kith discovery record v1"

// maxExpires is the last second of the year 9999: beyond, times have no text form.
const maxExpires = 253402300799

// A head is the part of a record that has a fixed place.
type head struct {
	id       kith.ID
	network  Tag
	sequence uint64
	expires  time.Time
}

// headOf reads the head of what passed checkForm.
func headOf(p []byte) head {
	return head{
		id:       kith.ID(p[atID:]),
		network:  Tag(p[atNetwork:]),
		sequence: binary.BigEndian.Uint64(p[atSequence:]),
		expires:  time.Unix(int64(binary.BigEndian.Uint64(p[atExpires:])), 0).UTC(),
	}
}

// isGoodbye looks into what passed checkForm.
func isGoodbye(p []byte) bool { return p[headSize] == 0 }

// encode writes the part of r that is signed, or says why it has none. It has the
// same rules as checkForm, which it leaves the judgement to.
func encode(r Record) ([]byte, error) {
	switch {
	case len(r.Addrs) > MaxAddrs:
		return nil, badRecord("%d addresses, at most %d", len(r.Addrs), MaxAddrs)
	case len(r.Services) > MaxServices:
		return nil, badRecord("%d services, at most %d", len(r.Services), MaxServices)
	}
	p := make([]byte, 0, MaxSize)
	p = append(p, version)
	p = append(p, r.ID[:]...)
	p = append(p, r.Network[:]...)
	p = binary.BigEndian.AppendUint64(p, r.Sequence)
	p = binary.BigEndian.AppendUint64(p, uint64(r.Expires.Unix())) // before 1970 is beyond 9999
	p = append(p, byte(len(r.Addrs)))
	for _, a := range r.Addrs {
		if err := checkAddr([]byte(a)); err != nil {
			return nil, err // a longer one could not say its length
		}
		p = append(append(p, byte(len(a))), a...)
	}
	p = append(p, byte(len(r.Services)))
	for _, s := range r.Services {
		p = append(p, s[:]...)
	}
	var unsigned [ed25519.SignatureSize]byte
	if err := checkForm(append(p, unsigned[:]...)); err != nil {
		return nil, err
	}
	return p, nil
}

// checkForm says whether p is the encoding of a record, whoever signed it. It allocates nothing but
// its error.
func checkForm(p []byte) error {
	switch {
	case len(p) < minSize || len(p) > MaxSize:
		return badRecord("%d bytes, want %d to %d", len(p), minSize, MaxSize)
	case p[0] != version:
		return badRecord("version %d, want %d", p[0], version)
	case binary.BigEndian.Uint64(p[atSequence:]) == 0:
		return badRecord("sequence 0")
	case binary.BigEndian.Uint64(p[atExpires:]) > maxExpires:
		return badRecord("expires before 1970 or after 9999")
	}
	rest, err := checkAddrs(p[headSize : len(p)-ed25519.SignatureSize])
	if err != nil {
		return err
	}
	return checkServices(rest)
}

// checkAddrs goes over the addresses at the front of p.
func checkAddrs(p []byte) (rest []byte, err error) {
	n, p := int(p[0]), p[1:]
	if n > MaxAddrs {
		return nil, badRecord("%d addresses, at most %d", n, MaxAddrs)
	}
	for range n {
		if len(p) == 0 || int(p[0]) >= len(p) {
			return nil, badRecord("cut short")
		}
		size := int(p[0])
		if err := checkAddr(p[1 : 1+size]); err != nil {
			return nil, err
		}
		p = p[1+size:]
	}
	return p, nil
}

// checkServices goes over the services, which are all of p.
func checkServices(p []byte) error {
	if len(p) == 0 {
		return badRecord("cut short")
	}
	n, p := int(p[0]), p[1:]
	switch {
	case n > MaxServices:
		return badRecord("%d services, at most %d", n, MaxServices)
	case len(p) != n*len(Tag{}):
		return badRecord("%d bytes of services, want %d", len(p), n*len(Tag{}))
	}
	var last []byte
	for ; len(p) > 0; p = p[len(Tag{}):] {
		this := p[:len(Tag{})]
		if last != nil && bytes.Compare(last, this) >= 0 {
			return badRecord("services not in rising order")
		}
		last = this
	}
	return nil
}

// CheckAddr says whether a can stand in a record: printable ASCII without spaces, like
// "quic://192.168.1.7:4433", without an ID, of [MaxAddr] bytes at most. What the host is, is for the transport to
// judge. The error matches [ErrRecord].
func CheckAddr(a string) error { return checkAddr([]byte(a)) }

// checkAddr holds an address to a form that every transport's addresses have, and that is safe in a log.
func checkAddr(a []byte) error {
	if len(a) > MaxAddr {
		return badRecord("address of %d bytes, at most %d", len(a), MaxAddr)
	}
	for _, c := range a {
		if c <= ' ' || c > '~' || c == '@' { // an ID in an address would stand before an @
			return badRecord("address %q has the byte %#02x", a, c)
		}
	}
	scheme, host, ok := bytes.Cut(a, []byte("://"))
	if !ok || !validScheme(scheme) || len(host) == 0 {
		return badRecord("address %q, want scheme://host", a)
	}
	return nil
}

// validScheme is what package transport takes for one.
func validScheme(s []byte) bool {
	for i, c := range s {
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return len(s) > 0
}

// checkSignature checks what passed checkForm. The ID is checked, too: for a key of low order anybody can sign.
func checkSignature(p []byte) error {
	id := kith.ID(p[atID:])
	if _, err := kith.IDFromPublicKey(id.PublicKey()); err != nil {
		return badRecord("%w", err)
	}
	body, sig := p[:len(p)-ed25519.SignatureSize], p[len(p)-ed25519.SignatureSize:]
	if !ed25519.Verify(id.PublicKey(), signedText(body), sig) {
		return badRecord("not signed by %s", id)
	}
	return nil
}

func sign(key *kith.Key, body []byte) ([]byte, error) {
	sig, err := key.Sign(nil, signedText(body), crypto.Hash(0))
	if err == nil && len(sig) != ed25519.SignatureSize {
		err = fmt.Errorf("signature of %d bytes, want %d", len(sig), ed25519.SignatureSize)
	}
	return sig, err
}

func signedText(body []byte) []byte {
	return append(append(make([]byte, 0, len(signPrefix)+len(body)), signPrefix...), body...)
}

// decode reads what passed checkForm. The addresses are parts of the one copy that it makes.
func decode(p []byte) Signed {
	raw, h := string(p), headOf(p)
	r := Record{ID: h.id, Network: h.network, Sequence: h.sequence, Expires: h.expires}
	n, rest := int(raw[headSize]), raw[headSize+1:]
	if n > 0 {
		r.Addrs = make([]string, n)
	}
	for i := range r.Addrs {
		end := 1 + int(rest[0])
		r.Addrs[i], rest = rest[1:end], rest[end:]
	}
	n, rest = int(rest[0]), rest[1:]
	if n > 0 {
		r.Services = make([]Tag, n)
	}
	for i := range r.Services {
		copy(r.Services[i][:], rest[i*len(Tag{}):])
	}
	return Signed{rec: r, raw: raw}
}
