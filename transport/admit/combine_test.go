package admit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// grants is a policy that admits everyone by that grant.
func grants(name string, groups ...string) admit.Policy {
	return admit.Func(func(transport.Info) (admit.Grant, error) { return admit.Grant{Name: name, Groups: groups}, nil })
}

func refuses(err error) admit.Policy {
	return admit.Func(func(transport.Info) (admit.Grant, error) { return admit.Grant{}, err })
}

// says presents what it is made of, and admits everyone.
type says string

func (s says) Present(context.Context, transport.Info) ([]byte, error) { return []byte(s), nil }
func (s says) Admit(context.Context, transport.Info, []byte) (admit.Grant, error) {
	return admit.Grant{}, nil
}

// TestCombinedKeys: a dialler with one key meets every kind of acceptor, and
// the other way round. What is judged is bob, or alice, by pins and by key.
func TestCombinedKeys(t *testing.T) {
	k, l, wrong := admit.NewNetworkKey(), admit.NewNetworkKey(), admit.NewNetworkKey()
	us, others := admit.Pins(alice, bob), admit.Pins(kith.NewKey().ID())
	key := func(s admit.Secret) admit.Policy { return admit.NetworkKey(s) }
	for _, tt := range []struct {
		name   string
		a, b   admit.Policy
		reason string // of b's refusal of a, as a is told; "" if admitted
	}{
		{"all: both", key(k), admit.All(us, key(k)), ""},
		{"all: both, twice within", key(k), admit.All(admit.All(us), admit.All(key(k), us)), ""},
		{"all: pinned, wrong key", key(wrong), admit.All(us, key(k)), "wrong_network_key"},
		{"all: pinned, no key", admit.Anyone(), admit.All(us, key(k)), "wrong_network_key"},
		{"all: not pinned", key(k), admit.All(others, key(k)), "not_admitted"},
		{"all: not pinned, wrong key", key(wrong), admit.All(key(k), others), "wrong_network_key"},
		{"all: two keys", admit.All(key(l), key(k)), admit.All(key(k), key(l)), ""},
		{"all: a ring is as good", admit.NetworkKey(k, l), admit.All(key(k), key(l)), ""},
		{"all: one of two keys", key(k), admit.All(key(k), key(l)), "wrong_network_key"},
		{"all: the other of two keys", key(l), admit.All(key(k), key(l)), "wrong_network_key"},
		{"any: pinned", admit.Anyone(), admit.Any(us, key(k)), ""},
		{"any: not pinned, with the key", key(k), admit.Any(others, key(k)), ""},
		{"any: neither", key(wrong), admit.Any(others, key(k)), "not_admitted"},
		{"any: one of two keys", key(l), admit.Any(key(k), key(l)), ""},
		{"any within all", key(k), admit.All(us, admit.Any(others, key(k))), ""},
		{"all within any", key(wrong), admit.Any(admit.All(us, key(k)), others), "not_admitted"},
	} {
		d, a := ends(alice, bob, 1)
		_, err := tt.b.Admit(t.Context(), a, present(t, tt.a, d))
		var e *kith.Error
		errors.As(err, &e)
		if tt.reason == "" && err != nil || tt.reason != "" && (e == nil || e.Reason() != tt.reason) {
			t.Errorf("%s: Admit = %v, want reason %q", tt.name, err, tt.reason)
		}
	}
}

func TestAllGrants(t *testing.T) {
	p := admit.All(grants("", "x", "y"), grants("ada", "y", "z"), grants("bea"))
	g, err := p.Admit(t.Context(), transport.Info{}, nil)
	if err != nil || g.Name != "ada" || !slices.Equal(g.Groups, []string{"x", "y", "z"}) {
		t.Errorf("All.Admit = %+v, %v, want ada of x, y, z", g, err)
	}
	first, second := errors.New("first"), errors.New("second")
	g, err = admit.All(grants("ada", "x"), refuses(first), refuses(second)).Admit(t.Context(), transport.Info{}, nil)
	if err != first || g.Name != "" || g.Groups != nil {
		t.Errorf("All.Admit = %+v, %v, want %v only", g, err, first)
	}
}

func TestAnyGrants(t *testing.T) {
	first, second := errors.New("first"), kith.NewError(kith.Unavailable, "later", "second")
	g, err := admit.Any(refuses(first), grants("ada", "x"), grants("bea")).Admit(t.Context(), transport.Info{}, nil)
	if err != nil || g.Name != "ada" || !slices.Equal(g.Groups, []string{"x"}) {
		t.Errorf("Any.Admit = %+v, %v, want ada of x", g, err)
	}
	_, err = admit.Any(refuses(first), refuses(second)).Admit(t.Context(), transport.Info{}, nil)
	if !errors.Is(err, first) || !errors.Is(err, second) || !strings.Contains(err.Error(), "first; Unavailable") {
		t.Errorf("Any.Admit = %v, want both reasons", err)
	}
	var told *kith.Error
	if !errors.As(err, &told) || told != admit.ErrRefused || kith.CodeOf(err) != kith.PermissionDenied {
		t.Errorf("Any.Admit = %v, want the other side to be told %v", err, admit.ErrRefused)
	}
}

// TestAnyPresents: what cannot be presented does not stand in the way of what
// can, unless nothing is left.
func TestAnyPresents(t *testing.T) {
	bare := transport.Info{Dialed: true}
	key := admit.NetworkKey(admit.NewNetworkKey())
	if p, err := admit.Any(key, admit.Verified()).Present(t.Context(), bare); len(p) != 0 || err != nil {
		t.Errorf("Any(key, Verified).Present = %x, %v, want nothing", p, err)
	}
	if p, err := admit.Any(key, key).Present(t.Context(), bare); p != nil || kith.CodeOf(err) != kith.Unauthenticated {
		t.Errorf("Any(key, key).Present = %x, %v, want %v", p, err, kith.Unauthenticated)
	}
	if p, err := admit.All(admit.Verified(), key).Present(t.Context(), bare); p != nil || kith.CodeOf(err) != kith.Unauthenticated {
		t.Errorf("All(Verified, key).Present = %x, %v, want %v", p, err, kith.Unauthenticated)
	}
	d, _ := ends(alice, bob, 1)
	for name, p := range map[string]admit.Policy{
		"All": admit.All(key, says("raw")), "Any": admit.Any(key, says("raw")),
	} {
		if proof, err := p.Present(t.Context(), d); proof != nil || err == nil || !strings.Contains(err.Error(), "admit_test.says") {
			t.Errorf("%s(key, raw).Present = %x, %v, want an error that names the policy", name, proof, err)
		}
	}
	named := says(admit.AppendProof(nil, "mine", []byte("x")))
	want := append(present(t, key, d), named...)
	if proof := present(t, admit.All(key, named), d); string(proof) != string(want) {
		t.Errorf("All(key, named).Present = %x, want %x", proof, want)
	}
}

func TestSubkeys(t *testing.T) {
	a, b := admit.NewNetworkKey(), admit.NewNetworkKey()
	keys := func(ring ...admit.Secret) (all [][32]byte) {
		for _, s := range ring {
			all = append(all, s.Derive("x"))
		}
		return all
	}
	for _, tt := range []struct {
		name string
		p    admit.Policy
		want [][32]byte
	}{
		{"Pins", admit.Pins(alice), nil},
		{"NetworkKey", admit.NetworkKey(a, b), keys(a, b)},
		{"All", admit.All(admit.Pins(alice), admit.NetworkKey(b, a)), keys(b, a)},
		{"Any of All", admit.Any(admit.NetworkKey(b), admit.All(admit.NetworkKey(a))), keys(b, a)},
		{"nil", nil, nil},
	} {
		if got := admit.Subkeys(tt.p, "x"); !slices.Equal(got, tt.want) {
			t.Errorf("Subkeys(%s) = %x, want %x", tt.name, got, tt.want)
		}
	}
}

func TestCombinedPanics(t *testing.T) {
	wantPanic(t, "All()", func() { admit.All() })
	wantPanic(t, "Any()", func() { admit.Any() })
	wantPanic(t, "All(nil)", func() { admit.All(admit.Anyone(), nil) })
	wantPanic(t, "Any(nil)", func() { admit.Any(nil, admit.Anyone()) })
}

// TestCombinedIsCopied: what is admitted does not change behind the policy's
// back.
func TestCombinedIsCopied(t *testing.T) {
	list := []admit.Policy{admit.Pins(alice)}
	p := admit.All(list...)
	list[0] = admit.Anyone()
	if _, err := p.Admit(t.Context(), transport.Info{Peer: bob}, nil); !errors.Is(err, admit.ErrRefused) {
		t.Errorf("Admit(bob) = %v, want %v", err, admit.ErrRefused)
	}
}
