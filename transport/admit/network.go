package admit

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// ErrNetworkKey is what a side is told that proves no network key which the
// other side has: a wrong one, none, one that was dropped from the ring, or a
// proof taken from elsewhere. It is not told which; the log of the side that
// refuses has more.
var ErrNetworkKey = kith.NewError(kith.PermissionDenied, "wrong_network_key", "no network key of this side is proven")

// errNoBinding refuses a connection that nothing tells from others.
var errNoBinding = kith.NewError(kith.Unauthenticated, "no_binding", "the transport gives the connection no binding")

// maxRing bounds the keys of a ring, and so what hello carries.
const maxRing = 8

// proofName is the name under which network keys are proven.
const proofName = "network"

// The two ends of a connection, as a proof names them.
const (
	dialler  = 1
	acceptor = 2
)

// NetworkKey admits whoever has a key of the ring, and proves to the other
// side that this one has. Both sides need the policy, or one that contains it.
// Use it where many nodes trust each other alike and no list of them is kept.
// The keys do not tell members apart: what one may do is a matter of
// identities, which handlers see as ever.
//
// Each side presents a MAC for every key of its ring, over the connection's
// Info.Binding, the ends' roles and both identities. Echoed, replayed, or
// passed on between two other connections, it is worthless, and nobody can
// learn a key from it by trying: a key has 256 random bits. How many keys the
// ring has can be seen by who answers the dial; nothing is presented to a side
// that has proven no identity.
//
// It needs connections that prove identities and have an Info.Binding, as
// those of every transport of kith in key mode do; on others it refuses, at
// both ends: over plaintext, with certificates of a CA, or over a transport of
// one's own that leaves Info.Local.ID or Info.Binding zero.
//
// Two sides admit each other if their rings have a key in common. So a key is
// replaced without a pause, a node at a time and in any order of nodes:
//
//  1. NetworkKey(old, next) everywhere. Nodes that have only old are still members.
//  2. NetworkKey(next, old) everywhere. Discovery announces under the first key.
//  3. NetworkKey(next) everywhere. Old is worth nothing from now on.
//
// No step begins before the one before it is done everywhere. To shut out who
// knows old, do step 3 at once: admission is judged once for a connection, so
// the connections that old has opened must be ended too, by restarting or
// closing the servers and clients.
//
// NetworkKey panics if there is no key, more than eight, or a zero one. The
// ring is copied.
func NetworkKey(ring ...Secret) Policy {
	if len(ring) == 0 || len(ring) > maxRing {
		panic(fmt.Sprintf("admit: NetworkKey with %d keys, want 1 to %d", len(ring), maxRing))
	}
	if slices.ContainsFunc(ring, Secret.IsZero) {
		panic("admit: NetworkKey with a zero Secret")
	}
	return &network{slices.Clone(ring)}
}

type network struct{ ring []Secret }

// Present returns one proof for each key: which of them the other side has is
// not known.
func (n *network) Present(_ context.Context, info transport.Info) ([]byte, error) {
	if err := provable(&info); err != nil {
		return nil, err
	}
	var p []byte
	for _, s := range n.ring {
		mac := s.prove(&info, info.Dialed, info.Local.ID, info.Peer)
		p = AppendProof(p, proofName, mac[:])
	}
	return p, nil
}

// Admit compares what was presented with what each key of the ring would have
// made of it. It compares all, so that the time tells nothing of which fits.
func (n *network) Admit(_ context.Context, info transport.Info, presented []byte) (Grant, error) {
	if err := provable(&info); err != nil {
		return Grant{}, err
	}
	var want [maxRing][32]byte
	for i, s := range n.ring {
		want[i] = s.prove(&info, !info.Dialed, info.Peer, info.Local.ID)
	}
	shown, fits := 0, 0
	for got := range Proofs(presented, proofName) {
		shown++
		for i := range n.ring {
			fits |= subtle.ConstantTimeCompare(got, want[i][:])
		}
	}
	switch {
	case fits == 1:
		return Grant{}, nil
	case shown == 0:
		return Grant{}, fmt.Errorf("%w (it presents none)", ErrNetworkKey)
	}
	return Grant{}, fmt.Errorf("%w (it presents %d, and this side has %d)", ErrNetworkKey, shown, len(n.ring))
}

// prove returns what proves to the receiver that the sender has s. The role
// keeps an echo worthless also where both ends have one identity.
func (s Secret) prove(info *transport.Info, dialled bool, sender, receiver kith.ID) [32]byte {
	role := byte(acceptor)
	if dialled {
		role = dialler
	}
	return s.mac(proofLabel, []byte{role}, info.Binding[:], sender[:], receiver[:])
}

// provable returns why nothing can be proven on a connection, nil if it can.
func provable(info *transport.Info) error {
	switch {
	case info.Peer.IsZero():
		return fmt.Errorf("network key: %w: it is plaintext, or goes by a CA's certificates", errNoIdentity)
	case info.Local.ID.IsZero():
		return fmt.Errorf("network key: %w of this side: Info.Local has no ID", errNoIdentity)
	case info.Binding == [32]byte{}:
		return fmt.Errorf("network key: %w (Info.Binding is zero)", errNoBinding)
	}
	// Transports refuse these keys. One of the user's own may not.
	if _, err := kith.IDFromPublicKey(info.Peer.PublicKey()); err != nil {
		return fmt.Errorf("network key: %w: %w", errNoIdentity, err)
	}
	return nil
}

// Subkeys implements what the function of that name asks for.
func (n *network) Subkeys(label string) [][32]byte {
	keys := make([][32]byte, len(n.ring))
	for i, s := range n.ring {
		keys[i] = s.Derive(label)
	}
	return keys
}

// Subkeys returns what [Secret.Derive] makes of label for every key of every
// [NetworkKey] in p, in order; nil if there is none. The first is the one to
// announce or encrypt under, all are to be understood. A policy of one's own
// that contains others passes them on by a method
//
//	Subkeys(label string) [][32]byte
func Subkeys(p Policy, label string) [][32]byte {
	if k, ok := p.(interface{ Subkeys(string) [][32]byte }); ok {
		return k.Subkeys(label)
	}
	return nil
}
