package admit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kith-go/kith/transport"
)

// All admits whom every one of the policies admits:
// All(Pins(ids...), NetworkKey(key)) demands both. It presents what each of
// them presents, and judges in order; the first refusal counts, and is what
// the other side is told. The grant has the first name, and the groups of all.
//
// The policies find their own in what is presented as [AppendProof] describes;
// one that presents something else makes All fail to present. All panics if
// there is no policy, or a nil one.
func All(policies ...Policy) Policy { return all{checked("All", policies)} }

// Any admits whom at least one of the policies admits, by the grant of the
// first that does: Any(Pins(ids...), NetworkKey(key)). It presents whatever
// can be presented on the connection. If none admits, the other side is told
// [ErrRefused], and the error here has each one's reason.
//
// The policies find their own in what is presented as [AppendProof] describes;
// one that presents something else makes Any fail to present. Any panics if
// there is no policy, or a nil one.
func Any(policies ...Policy) Policy { return anyOf{checked("Any", policies)} }

// checked returns a copy of the policies. Of none, All would admit everyone.
func checked(who string, policies []Policy) combined {
	if len(policies) == 0 || slices.Contains(policies, nil) {
		panic("admit: " + who + " of no policy, or of a nil one")
	}
	return slices.Clone(policies)
}

// combined is what policies have in common that consist of others.
type combined []Policy

// Subkeys implements what the function of that name asks for.
func (c combined) Subkeys(label string) [][32]byte {
	var keys [][32]byte
	for _, p := range c {
		keys = append(keys, Subkeys(p, label)...)
	}
	return keys
}

// listed returns why what p presents cannot stand beside what others do, nil
// if it can.
func listed(p Policy, proof []byte) error {
	if !validProofs(proof) {
		return fmt.Errorf("policy of type %T presents what AppendProof did not make", p)
	}
	return nil
}

type all struct{ combined }

func (a all) Present(ctx context.Context, info transport.Info) ([]byte, error) {
	var presented []byte
	for _, p := range a.combined {
		proof, err := p.Present(ctx, info)
		if err == nil {
			err = listed(p, proof)
		}
		if err != nil {
			return nil, err
		}
		presented = append(presented, proof...)
	}
	return presented, nil
}

func (a all) Admit(ctx context.Context, info transport.Info, presented []byte) (Grant, error) {
	var grant Grant
	for _, p := range a.combined {
		g, err := p.Admit(ctx, info, presented)
		if err != nil {
			return Grant{}, err
		}
		if grant.Name == "" {
			grant.Name = g.Name
		}
		for _, group := range g.Groups {
			if !slices.Contains(grant.Groups, group) {
				grant.Groups = append(grant.Groups, group)
			}
		}
	}
	return grant, nil
}

type anyOf struct{ combined }

// Present passes over what cannot be presented here, such as a network key
// over a connection without identities: another policy may do.
func (a anyOf) Present(ctx context.Context, info transport.Info) ([]byte, error) {
	var presented []byte
	var first error
	failed := 0
	for _, p := range a.combined {
		proof, err := p.Present(ctx, info)
		if err != nil {
			failed++
			if first == nil {
				first = err
			}
			continue
		}
		if err := listed(p, proof); err != nil {
			return nil, err
		}
		presented = append(presented, proof...)
	}
	if failed == len(a.combined) {
		return nil, first
	}
	return presented, nil
}

func (a anyOf) Admit(ctx context.Context, info transport.Info, presented []byte) (Grant, error) {
	var errs refusals
	for _, p := range a.combined {
		g, err := p.Admit(ctx, info, presented)
		if err == nil {
			return g, nil
		}
		errs = append(errs, err)
	}
	return Grant{}, errs
}

// refusals is why none of several policies admits. It matches what each says,
// and tells the other side nothing but ErrRefused, which comes first.
type refusals []error

func (r refusals) Error() string {
	texts := make([]string, len(r))
	for i, err := range r {
		texts[i] = err.Error()
	}
	return ErrRefused.Error() + " (" + strings.Join(texts, "; ") + ")"
}

func (r refusals) Unwrap() []error { return append([]error{ErrRefused}, r...) }
