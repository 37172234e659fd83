package discovery

import (
	"crypto/hmac"
	"crypto/sha256"
)

// A Tag stands for a network or a service in a record. It tells nothing to
// who does not know the [Namespace]. Two names have the same tag with
// probability 2^-64; whoever acts on one asks the peer itself.
type Tag [8]byte

// A Namespace makes the tags of one network. It is a comparable value; the zero
// value is not a namespace.
type Namespace struct {
	key [sha256.Size]byte
}

// Public returns the namespace of a network by its name, for networks without a
// secret. Whoever knows or guesses the name recognizes its records.
func Public(name string) Namespace {
	return Namespace{sha256.Sum256([]byte("kith network name v1\x00" + name))}
}

// Private returns the namespace that belongs to a secret, such as
// one derived from a network key. Strangers cannot tell the records of two such
// networks apart by anything but equality of tags.
func Private(secret [32]byte) Namespace {
	return Namespace{sha256.Sum256(append([]byte("kith network secret v1\x00"), secret[:]...))}
}

// Network returns the tag of the network itself.
func (n Namespace) Network() Tag { return n.tag("network") }

// Service returns the tag of a service, or of a method, by its name.
func (n Namespace) Service(name string) Tag { return n.tag("service\x00" + name) }

func (n Namespace) tag(label string) Tag {
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write([]byte(label)) // never fails
	return Tag(mac.Sum(nil)[:8])
}

// String hides the key.
func (n Namespace) String() string { return "discovery.Namespace(" + fingerprint(n.Network()) + ")" }
