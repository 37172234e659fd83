// Package admit says who is let in: over which connections calls may pass,
// decided once, in a connection's first words. The same policies serve servers,
// clients and peers, over every transport.
package admit

import (
	"context"
	"fmt"
	"slices"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// A Policy judges the other side of a connection. Each side presents what its
// own policy gives it, and judges what the other presents; the dialling side
// presents first, and learns nothing of a side that does not admit it. Get one
// from [Anyone], [Pins], [NetworkKey] or [Verified], combine some by [All] or
// [Any], or write one. Its methods may be called at once from any number of
// goroutines.
type Policy interface {
	// Present returns what this side shows the other as a proof, at most 3 KiB,
	// nil for nothing. A proof should be bound to info.Binding, so that it is
	// worthless elsewhere, and be made with [AppendProof], so that the policy can
	// be combined with others. The dialling side's is presented to whoever
	// answers: to somebody unknown, if info.Peer is zero.
	Present(ctx context.Context, info transport.Info) ([]byte, error)

	// Admit judges the other side by info, whose Peer is the identity that the
	// connection proved, and by what it presented, which is valid until Admit
	// returns. An error refuses it: the text of a [*kith.Error] is told to the
	// other side, any other only logged here. Admit must return soon after ctx
	// ends.
	Admit(ctx context.Context, info transport.Info, presented []byte) (Grant, error)
}

// A Grant is what a policy says of a side that it admits.
type Grant struct {
	// Name and Groups describe the peer to handlers and access checks
	// (kith.Peer); both may be empty.
	Name   string
	Groups []string
}

// ErrRefused is what a side that is not admitted is told.
var ErrRefused = kith.NewError(kith.PermissionDenied, "not_admitted", "this identity is not admitted here")

// errNoIdentity refuses a side whose connection proved no identity.
var errNoIdentity = kith.NewError(kith.Unauthenticated, "no_identity", "the connection proves no identity")

// Anyone admits everyone, also over links that prove no identity. What
// handlers are told of a peer is still what its connection proved.
func Anyone() Policy { return Func(func(transport.Info) (Grant, error) { return Grant{}, nil }) }

// Pins admits the given identities. It panics if one is zero.
func Pins(ids ...kith.ID) Policy {
	if slices.Contains(ids, kith.ID{}) {
		panic("admit: Pins with a zero id")
	}
	set := make(map[kith.ID]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return Func(func(info transport.Info) (Grant, error) {
		if info.Peer.IsZero() {
			return Grant{}, errNoIdentity
		}
		if _, ok := set[info.Peer]; !ok {
			return Grant{}, ErrRefused
		}
		return Grant{}, nil
	})
}

// Verified admits those whose certificate was verified by a CA of the
// transport's tls.Config. The grant's name is the certificate's common name.
func Verified() Policy {
	return Func(func(info transport.Info) (Grant, error) {
		if info.TLS == nil || len(info.TLS.VerifiedChains) == 0 {
			return Grant{}, kith.NewError(kith.Unauthenticated, "no_certificate", "no certificate that a CA of this side signed")
		}
		return Grant{Name: info.TLS.VerifiedChains[0][0].Subject.CommonName}, nil
	})
}

// Func is a Policy that presents nothing and judges by what the connection
// proved.
type Func func(transport.Info) (Grant, error)

// Present returns nil.
func (f Func) Present(context.Context, transport.Info) ([]byte, error) { return nil, nil }

// Admit calls f.
func (f Func) Admit(_ context.Context, info transport.Info, _ []byte) (Grant, error) { return f(info) }

// ErrNoPolicy is the error of whoever serves without a policy: it names the
// remedies.
var ErrNoPolicy = fmt.Errorf("no Admit policy: set Admit to admit.Pins(ids...), admit.NetworkKey(key) or admit.Anyone(), " +
	"or give the transport a tls.Config with ClientCAs and RequireAndVerifyClientCert")
