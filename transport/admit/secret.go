package admit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// A Secret is the key of a network, for [NetworkKey]: 256 random bits that
// every member has and nobody else. Get one from [NewNetworkKey],
// [ParseNetworkKey] or [LoadNetworkKey]; the zero Secret is none. It is
// immutable, may be copied, and may be used from any number of goroutines.
//
// It is never made of a passphrase: whoever was dialled once by a member, or has
// a subkey or a record of discovery, could try passphrases at leisure. It prints as a fingerprint in
// every format; only [Secret.Reveal] and [Secret.Save] give it away. Compare
// Secrets with [Secret.Equal]; == does not compile.
type Secret struct {
	// key is a function for the sake of what prints or dumps by reflection, also
	// where a Secret sits in an unexported field and Format is not called: it
	// finds no bytes.
	key func() [secretLen]byte
}

const (
	secretLen     = 32
	secretPrefix  = "kith_network_"
	secretVersion = 1
	secretRawLen  = secretLen + 3 // with a checksum of two bytes and the version
	secretTextLen = len(secretPrefix) + 56
)

// What a Secret's MACs begin with. None is the beginning of another, so that
// no MAC made for one purpose serves another.
const (
	proofLabel       = "kith network proof v1"
	deriveLabel      = "kith network derive v1"
	fingerprintLabel = "kith network fingerprint v1"
)

var secretEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var (
	errSecretPrefix   = errors.New("want text that begins with " + secretPrefix + " (a passphrase is no key)")
	errSecretChecksum = errors.New("bad checksum: mistyped or damaged")
	errSecretVersion  = errors.New("unknown version")
	errSecretZero     = errors.New("a key of zeros")
	errSecretNone     = errors.New("there is no key: the Secret is zero")
	errSecretMarshal  = errors.New("a network key is not written out by accident: use Secret.Reveal")
)

// NewNetworkKey makes a Secret from the system's random source.
func NewNetworkKey() Secret {
	var key [secretLen]byte
	_, _ = rand.Read(key[:]) // never fails
	return newSecret(key)
}

func newSecret(key [secretLen]byte) Secret {
	return Secret{key: func() [secretLen]byte { return key }}
}

// ParseNetworkKey reads the text that [Secret.Reveal] gives, of 69 characters.
// It refuses text that was cut, mistyped, or surrounded by spaces. Its errors
// do not quote the text.
func ParseNetworkKey(text string) (Secret, error) {
	s, err := parseSecret(text)
	if err != nil {
		return Secret{}, fmt.Errorf("parse network key: %w", err)
	}
	return s, nil
}

func parseSecret(text string) (Secret, error) {
	body, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return Secret{}, errSecretPrefix
	}
	if len(text) != secretTextLen {
		return Secret{}, fmt.Errorf("%d characters, want %d", len(text), secretTextLen)
	}
	raw, err := secretEncoding.DecodeString(body)
	if err != nil {
		return Secret{}, err // tells a position only
	}
	if len(raw) != secretRawLen { // base32 skips line breaks
		return Secret{}, errSecretChecksum
	}
	key := [secretLen]byte(raw)
	if raw[secretRawLen-1] != secretVersion {
		return Secret{}, errSecretVersion
	}
	if sum := secretChecksum(key); sum != [2]byte(raw[secretLen:]) {
		return Secret{}, errSecretChecksum
	}
	if key == [secretLen]byte{} {
		return Secret{}, errSecretZero
	}
	return newSecret(key), nil
}

func secretChecksum(key [secretLen]byte) [2]byte {
	sum := sha256.Sum256(append([]byte("kith network key v1"), key[:]...))
	return [2]byte(sum[:])
}

// Reveal returns the secret itself as text, to hand to a new member over a
// safe way: kith_network_ and 56 characters of base32, which hold the key, a
// checksum and a version. It is empty for the zero Secret.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	key := s.key()
	sum := secretChecksum(key)
	return secretPrefix + secretEncoding.EncodeToString(append(key[:], sum[0], sum[1], secretVersion))
}

// IsZero reports whether s is the zero Secret, which is none.
func (s Secret) IsZero() bool { return s.key == nil }

// Equal reports whether both are the same key, in a time that does not depend
// on the keys.
func (s Secret) Equal(other Secret) bool {
	if s.IsZero() || other.IsZero() {
		return s.IsZero() == other.IsZero()
	}
	a, b := s.key(), other.key()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Derive returns a key for another use in the same network, told apart by
// label: HMAC-SHA256 under s of "kith network derive v1" and the label. Who has
// it learns nothing of s, nor of what other labels give, and cannot prove
// membership with it. Discovery makes its tags with one (see [Subkeys]). A
// label of one's own begins with the program's name. Derive panics if s is
// zero.
func (s Secret) Derive(label string) [32]byte { return s.mac(deriveLabel, []byte(label)) }

// mac returns HMAC-SHA256 of label and parts. All but the last part have a
// fixed length.
func (s Secret) mac(label string, parts ...[]byte) [sha256.Size]byte {
	if s.IsZero() {
		panic("admit: use of a zero Secret")
	}
	key := s.key()
	h := hmac.New(sha256.New, key[:])
	_, _ = h.Write([]byte(label)) // a hash never fails
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// String returns "secret(...)" with a fingerprint of eight characters, by which
// people can compare the keys of two nodes. It does not give the key away, but
// tells that two nodes are in one network.
func (s Secret) String() string {
	if s.IsZero() {
		return "secret(none)"
	}
	sum := s.mac(fingerprintLabel)
	return "secret(" + secretEncoding.EncodeToString(sum[:5]) + ")"
}

// Format implements [fmt.Formatter]: whatever the verb, it writes what
// [Secret.String] returns.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue implements [slog.LogValuer] with what [Secret.String] returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText always fails, so that a configuration that is logged or
// answered as JSON does not take the key along. (Without it, encoders would
// write an empty value, and lose the key unseen.) Whoever means to write the
// key calls [Secret.Reveal].
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecretMarshal }

// UnmarshalText reads a key with the rules of [ParseNetworkKey], from a
// configuration, say. A command line is no place for one: other users of the
// machine see it.
func (s *Secret) UnmarshalText(text []byte) error {
	v, err := ParseNetworkKey(string(text))
	if err != nil {
		return err
	}
	*s = v
	return nil
}
