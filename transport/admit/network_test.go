package admit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// ends returns what both ends of a connection see that a dialled to b.
func ends(a, b kith.ID, binding byte) (dialler, acceptor transport.Info) {
	dialler = transport.Info{Peer: b, Dialed: true, Binding: [32]byte{binding}, Local: transport.Addr{ID: a}}
	acceptor = transport.Info{Peer: a, Binding: [32]byte{binding}, Local: transport.Addr{ID: b}}
	return dialler, acceptor
}

func present(t testing.TB, p admit.Policy, info transport.Info) []byte {
	t.Helper()
	proof, err := p.Present(t.Context(), info)
	if err != nil {
		t.Fatalf("Present = %v", err)
	}
	return proof
}

// admits returns why the dialler does not admit the acceptor, and the other
// way round.
func admits(t *testing.T, dialler, acceptor admit.Policy, binding byte) (there, back error) {
	t.Helper()
	d, a := ends(alice, bob, binding)
	_, there = acceptor.Admit(t.Context(), a, present(t, dialler, d))
	_, back = dialler.Admit(t.Context(), d, present(t, acceptor, a))
	return there, back
}

// TestNetworkKeyProof: the proof is what docs/wire.md says.
func TestNetworkKeyProof(t *testing.T) {
	key := goldenKey()
	a, b := kith.ID(bytes.Repeat([]byte{0xaa}, 32)), alice
	d, _ := ends(a, b, 7)
	d.Peer = b
	for _, dialed := range []bool{true, false} {
		d.Dialed = dialed
		mac := hmac.New(sha256.New, key[:])
		mac.Write([]byte("kith network proof v1"))
		mac.Write([]byte{map[bool]byte{true: 1, false: 2}[dialed]})
		mac.Write(d.Binding[:])
		mac.Write(a[:])
		mac.Write(b[:])
		want := append([]byte("\x07network\x20"), mac.Sum(nil)...)
		if got := present(t, admit.NetworkKey(parseKey(t, goldenText)), d); !bytes.Equal(got, want) {
			t.Errorf("Present(dialled %t) = %x, want %x", dialed, got, want)
		}
	}
}

// TestNetworkKeyGolden: both sides of a release to come must make these bytes.
func TestNetworkKeyGolden(t *testing.T) {
	id := func(text string) kith.ID {
		id, err := kith.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	d, a := ends(id(goldenDialler), id(goldenAcceptor), 0)
	d.Binding, a.Binding = goldenKey(), goldenKey()
	p := admit.NetworkKey(parseKey(t, goldenText))
	for _, tt := range []struct {
		info transport.Info
		want string
	}{{d, goldenHello}, {a, goldenWelcome}} {
		if got := hex.EncodeToString(present(t, p, tt.info)); got != tt.want {
			t.Errorf("Present(dialled %t) = %s, want %s", tt.info.Dialed, got, tt.want)
		}
	}
}

// TestRotation goes through the steps of NetworkKey's comment, in which nodes
// of two neighbouring steps meet, each dialling the other.
func TestRotation(t *testing.T) {
	old, next, other := admit.NewNetworkKey(), admit.NewNetworkKey(), admit.NewNetworkKey()
	type ring []admit.Secret
	steps := []ring{{old}, {old, next}, {next, old}, {next}}
	var tests []struct {
		a, b ring
		want bool
	}
	add := func(a, b ring, want bool) {
		tests = append(tests, struct {
			a, b ring
			want bool
		}{a, b, want})
	}
	for i, s := range steps {
		add(s, s, true)
		if i > 0 {
			add(steps[i-1], s, true)
			add(s, steps[i-1], true)
		}
	}
	add(ring{old}, ring{next, old}, true)
	add(ring{next, old}, ring{old}, true)
	add(ring{next}, ring{old, next}, true)
	add(ring{old, next}, ring{next}, true)
	add(ring{old}, ring{next}, false)
	add(ring{next}, ring{old}, false)
	add(ring{old, next}, ring{other}, false)
	add(ring{other}, ring{old, next}, false)
	add(ring{old, old}, ring{old}, true)
	full := ring{other}
	for len(full) < 8 {
		full = append(full, admit.NewNetworkKey())
	}
	add(full, ring{full[7]}, true)
	add(ring{full[7]}, full, true)
	add(full, full, true)
	for _, tt := range tests {
		there, back := admits(t, admit.NetworkKey(tt.a...), admit.NetworkKey(tt.b...), 1)
		for way, err := range map[string]error{"dialler": there, "acceptor": back} {
			if (err == nil) != tt.want || err != nil && !errors.Is(err, admit.ErrNetworkKey) {
				t.Errorf("%v dials %v: Admit of the %s = %v, want admitted %t", tt.a, tt.b, way, err, tt.want)
			}
		}
	}
}

// TestForgedProofs: bob accepts from alice, or from mallory, who has no key but
// sees proofs.
func TestForgedProofs(t *testing.T) {
	mallory := kith.NewKey().ID()
	key, wrong := admit.NewNetworkKey(), admit.NewNetworkKey()
	p := admit.NetworkKey(key)
	d, a := ends(alice, bob, 1)
	good := present(t, p, d)
	mac := good[len(good)-32:]
	named := func(mac []byte) []byte { return admit.AppendProof(nil, "network", mac) }
	another, _ := ends(alice, bob, 2)
	toMallory, _ := ends(alice, mallory, 1)
	swapped := d
	swapped.Local.ID, swapped.Peer = bob, alice
	acceptors := a
	acceptors.Local.ID, acceptors.Peer = alice, bob
	flipped := bytes.Clone(mac)
	flipped[31] ^= 1
	subkey := key.Derive("x")
	many := []byte(nil)
	for len(many)+41 <= 3<<10 {
		many = append(many, named(flipped)...)
	}
	forged := map[string][]byte{
		"nothing":                         nil,
		"empty":                           {},
		"an empty proof":                  named(nil),
		"the echo of bob's own":           present(t, p, a),
		"of another connection":           present(t, p, another),
		"meant for mallory":               present(t, p, toMallory),
		"of swapped identities":           present(t, p, swapped),
		"made in the other role":          present(t, p, acceptors),
		"of another key":                  present(t, admit.NetworkKey(wrong), d),
		"one bit changed":                 named(flipped),
		"a subkey":                        named(subkey[:]),
		"the MAC under another name":      admit.AppendProof(nil, "Network", mac),
		"the bare MAC":                    mac,
		"too long":                        named(append(bytes.Clone(mac), 0)),
		"twice as long":                   named(append(bytes.Clone(mac), mac...)),
		"as many as fit":                  many,
		"zeros":                           make([]byte, 3<<10),
		"good, with bytes behind":         append(bytes.Clone(good), 1),
		"good, with half a proof behind":  append(bytes.Clone(good), good[:20]...),
		"good, with a length written odd": append(append([]byte("\x07network"), 0xa0, 0), mac...),
	}
	for n := range len(good) {
		forged[fmt.Sprintf("cut to %d bytes", n)] = good[:n]
	}
	for name, proof := range forged {
		if g, err := p.Admit(t.Context(), a, proof); !errors.Is(err, admit.ErrNetworkKey) || kith.CodeOf(err) != kith.PermissionDenied {
			t.Errorf("%s: Admit = %+v, %v, want %v", name, g, err, admit.ErrNetworkKey)
		}
	}
	_, fromMallory := ends(mallory, bob, 1)
	if _, err := p.Admit(t.Context(), fromMallory, good); !errors.Is(err, admit.ErrNetworkKey) {
		t.Errorf("Admit(alice's proof from mallory) = %v, want %v", err, admit.ErrNetworkKey)
	}
	if _, err := p.Admit(t.Context(), a, good); err != nil {
		t.Errorf("Admit(alice's proof) = %v, want no error", err)
	}
	if _, err := p.Admit(t.Context(), a, append(bytes.Clone(many[:41]), good...)); err != nil {
		t.Errorf("Admit(a wrong and a good proof) = %v, want no error", err)
	}
}

// TestEchoToOneself: an echo is worthless also where both ends have one
// identity, whose key somebody else has got hold of.
func TestEchoToOneself(t *testing.T) {
	p := admit.NetworkKey(admit.NewNetworkKey())
	d, a := ends(alice, alice, 1)
	if _, err := p.Admit(t.Context(), d, present(t, p, d)); !errors.Is(err, admit.ErrNetworkKey) {
		t.Errorf("Admit(the dialler's own proof) = %v, want %v", err, admit.ErrNetworkKey)
	}
	if _, err := p.Admit(t.Context(), a, present(t, p, a)); !errors.Is(err, admit.ErrNetworkKey) {
		t.Errorf("Admit(the acceptor's own proof) = %v, want %v", err, admit.ErrNetworkKey)
	}
	if _, err := p.Admit(t.Context(), a, present(t, p, d)); err != nil {
		t.Errorf("Admit(a proof to oneself) = %v, want no error", err)
	}
}

// TestProofsDiffer: nothing that is seen of one connection comes again, whatever
// of a connection changes.
func TestProofsDiffer(t *testing.T) {
	p := admit.NetworkKey(admit.NewNetworkKey())
	seen := make(map[string]bool)
	for binding := range byte(100) {
		for _, other := range []kith.ID{bob, kith.NewKey().ID()} {
			d, a := ends(alice, other, binding+1)
			for _, info := range []transport.Info{d, a} {
				proof := string(present(t, p, info))
				if seen[proof] {
					t.Fatalf("Present(%+v) = %x again", info, proof)
				}
				seen[proof] = true
			}
		}
	}
}

// TestNetworkKeyNeedsProof: where nothing can be proven, nothing is presented
// and nobody admitted.
func TestNetworkKeyNeedsProof(t *testing.T) {
	p := admit.NetworkKey(admit.NewNetworkKey())
	for _, tt := range []struct {
		name   string
		edit   func(*transport.Info)
		reason string
		text   string
	}{
		{"plaintext", func(i *transport.Info) { *i = transport.Info{Dialed: i.Dialed} }, "no_identity", "plaintext"},
		{"no peer", func(i *transport.Info) { i.Peer = kith.ID{} }, "no_identity", "plaintext"},
		{"no ID of one's own", func(i *transport.Info) { i.Local.ID = kith.ID{} }, "no_identity", "Info.Local"},
		{"no binding", func(i *transport.Info) { i.Binding = [32]byte{} }, "no_binding", "Info.Binding"},
		{"low-order peer", func(i *transport.Info) { i.Peer = kith.ID{1} }, "no_identity", "low-order"},
		{"peer that is no key", func(i *transport.Info) { i.Peer = kith.ID{2} }, "no_identity", "Ed25519"},
	} {
		d, a := ends(alice, bob, 1)
		proof := present(t, p, d)
		for _, info := range []transport.Info{d, a} {
			tt.edit(&info)
			shown, err := p.Present(t.Context(), info)
			_, refusal := p.Admit(t.Context(), info, proof)
			for _, err := range []error{err, refusal} {
				var e *kith.Error
				if !errors.As(err, &e) || e.Code() != kith.Unauthenticated || e.Reason() != tt.reason || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s: %v, want Unauthenticated: %s with %q", tt.name, err, tt.reason, tt.text)
				}
			}
			if shown != nil {
				t.Errorf("%s: Present = %x, want nothing", tt.name, shown)
			}
		}
	}
}

func TestNetworkKeyPanics(t *testing.T) {
	k := admit.NewNetworkKey()
	wantPanic(t, "NetworkKey()", func() { admit.NetworkKey() })
	wantPanic(t, "NetworkKey(zero)", func() { admit.NetworkKey(k, admit.Secret{}) })
	wantPanic(t, "NetworkKey(nine)", func() { admit.NetworkKey(k, k, k, k, k, k, k, k, k) })
}

func TestRingIsCopied(t *testing.T) {
	key := admit.NewNetworkKey()
	ring := []admit.Secret{key}
	p := admit.NetworkKey(ring...)
	ring[0] = admit.NewNetworkKey()
	if there, back := admits(t, p, admit.NetworkKey(key), 1); there != nil || back != nil {
		t.Errorf("Admit after a change of the slice = %v, %v, want no error", there, back)
	}
}

// FuzzNetworkKey: whatever is presented by one who has no key, it is refused.
func FuzzNetworkKey(f *testing.F) {
	p := admit.NetworkKey(parseKey(f, goldenText), admit.NewNetworkKey())
	d, a := ends(alice, bob, 1)
	good := present(f, admit.NetworkKey(parseKey(f, goldenText)), d)
	back := present(f, p, a)
	f.Add([]byte(nil))
	f.Add(back)
	f.Add(good[:len(good)-1])
	f.Add(admit.AppendProof(nil, "other", good))
	f.Fuzz(func(t *testing.T, presented []byte) {
		if bytes.Contains(presented, good[9:]) {
			return
		}
		if _, err := p.Admit(t.Context(), a, presented); !errors.Is(err, admit.ErrNetworkKey) {
			t.Errorf("Admit(%x) = %v, want %v", presented, err, admit.ErrNetworkKey)
		}
	})
}

func BenchmarkNetworkKey(b *testing.B) {
	p := admit.NetworkKey(admit.NewNetworkKey(), admit.NewNetworkKey())
	d, a := ends(alice, bob, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Admit(b.Context(), a, present(b, p, d)); err != nil {
			b.Fatal(err)
		}
	}
}
