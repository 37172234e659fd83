package kith

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"
)

// An ID names a node for good: it is the node's Ed25519 public key (RFC 8032,
// section 5.1.5). It is comparable and fit to be a map key. Get one from
// [Key.ID], [ParseID] or [IDFromPublicKey]; the zero ID means "unknown".
type ID [ed25519.PublicKeySize]byte

// idVersion is the last byte of an ID's text before encoding.
const idVersion = 1

// An ID's text is 56 characters: 35 bytes in base32.
const (
	idRawLen  = 35
	idTextLen = 56
)

var (
	idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

	errIDLength   = errors.New("want 56 characters")
	errIDVersion  = errors.New("unknown version")
	errIDChecksum = errors.New("bad checksum")
	errKeyForm    = errors.New("non-canonical Ed25519 key")
	errKeyOrder   = errors.New("low-order Ed25519 key")
	errKeyCurve   = errors.New("key is not on the Ed25519 curve")
)

// ParseID reads the text form that [ID.String] writes. It refuses a bad
// checksum, upper case, an unknown version, and every key that
// [IDFromPublicKey] refuses.
func ParseID(s string) (ID, error) {
	id, err := parseID(s)
	if err != nil {
		return ID{}, fmt.Errorf("parse id: %w", err)
	}
	return id, nil
}

func parseID(s string) (ID, error) {
	if len(s) != idTextLen {
		return ID{}, errIDLength
	}
	raw, err := idEncoding.DecodeString(s)
	if err != nil {
		return ID{}, err
	}
	if len(raw) != idRawLen { // base32 skips line breaks
		return ID{}, errIDLength
	}
	id := ID(raw[:32])
	if raw[34] != idVersion {
		return ID{}, errIDVersion
	}
	if sum := id.checksum(); sum[0] != raw[32] || sum[1] != raw[33] {
		return ID{}, errIDChecksum
	}
	return id, checkPoint(id)
}

// IDFromPublicKey returns the ID of an Ed25519 public key. It refuses keys of
// another length, encodings that are not canonical, points that are not on
// the curve, and the low-order points: anyone can sign for those without
// holding a private key.
func IDFromPublicKey(pub ed25519.PublicKey) (ID, error) {
	if len(pub) != ed25519.PublicKeySize {
		return ID{}, fmt.Errorf("public key of %d bytes, want %d", len(pub), ed25519.PublicKeySize)
	}
	id := ID(pub)
	if err := checkPoint(id); err != nil {
		return ID{}, fmt.Errorf("public key: %w", err)
	}
	return id, nil
}

// String returns the ID's text: lower-case base32, without padding, of the
// key, a two-byte checksum and a version. Its 56 characters fit one DNS label.
func (id ID) String() string {
	sum := id.checksum()
	return idEncoding.EncodeToString(append(id[:], sum[0], sum[1], idVersion))
}

// Short returns the first eight characters of the ID's text, for logs only:
// anyone can make a key that shares them.
func (id ID) Short() string { return id.String()[:8] }

// IsZero reports whether id is the zero ID, which names nobody.
func (id ID) IsZero() bool { return id == ID{} }

// PublicKey returns the ID as a public key of crypto/ed25519.
func (id ID) PublicKey() ed25519.PublicKey { return ed25519.PublicKey(id[:]) }

// AppendText implements [encoding.TextAppender] with the form of [ID.String].
func (id ID) AppendText(dst []byte) ([]byte, error) { return append(dst, id.String()...), nil }

// MarshalText implements [encoding.TextMarshaler] with the form of [ID.String].
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler] with the rules of [ParseID].
func (id *ID) UnmarshalText(text []byte) error {
	v, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

func (id ID) checksum() [2]byte {
	sum := sha256.Sum256(append([]byte("kith id v1"), id[:]...))
	return [2]byte(sum[:2])
}

// The field prime 2^255-19 and the curve constant d = -121665/121666
// (RFC 8032, section 5.1).
var (
	fieldP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD = func() *big.Int {
		d := new(big.Int).ModInverse(big.NewInt(121666), fieldP)
		d.Mul(d, big.NewInt(-121665))
		return d.Mod(d, fieldP)
	}()
)

// lowOrderY holds the y coordinates of the eight points whose order divides
// eight: 0, 1, -1 and the two of order eight.
var lowOrderY = [...]string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

// goodPoints are keys that checkPoint has found good, each where its first byte says:
// to check one takes as long as a fortieth of a TLS handshake, and a key comes again and
// again, in an address, in each dial of it and in each certificate. Whoever fills it
// with keys of his own makes others' be checked again, as if they were new.
var goodPoints [256]atomic.Pointer[ID]

// checkPoint refuses encodings that no honest key has. With a low-order key
// (01 00..00, say) one constant signature passes for every message, so a
// certificate made with it completes mutual TLS without any private key.
func checkPoint(id ID) error {
	known := &goodPoints[id[0]]
	if good := known.Load(); good != nil && *good == id {
		return nil
	}
	if err := checkNewPoint(id); err != nil {
		return err
	}
	kept := id
	known.Store(&kept)
	return nil
}

func checkNewPoint(id ID) error {
	id[31] &= 0x7f // the sign of x; each low-order y is refused with both
	if slices.Contains(lowOrderY[:], hex.EncodeToString(id[:])) {
		return errKeyOrder
	}
	slices.Reverse(id[:]) // RFC 8032 encodes little-endian
	y := new(big.Int).SetBytes(id[:])
	if y.Cmp(fieldP) >= 0 {
		return errKeyForm
	}
	// On the curve, x² = (y²-1) / (d·y²+1) is a square; with v ≠ 0 that is
	// so exactly if u·v is one. v is never zero, as -1/d is not a square.
	y2 := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(y2, big.NewInt(1))
	v := new(big.Int).Mul(curveD, y2)
	v.Add(v, big.NewInt(1))
	if big.Jacobi(u.Mul(u, v).Mod(u, fieldP), fieldP) == -1 {
		return errKeyCurve
	}
	return nil
}
