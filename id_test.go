package kith_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/kith-go/kith"
)

// goodID is an ID that is the same in every run.
func goodID(t testing.TB, seed byte) kith.ID {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	id, err := kith.IDFromPublicKey(priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatalf("IDFromPublicKey(seed %d) = %v, want no error", seed, err)
	}
	return id
}

// goldenID is the text of goodID(1): the form must not change between versions.
const goldenID = "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oo3fqb"

func TestIDText(t *testing.T) {
	if got := goodID(t, 1).String(); got != goldenID {
		t.Errorf("String() = %q, want %q", got, goldenID)
	}
	for range 50 {
		id := kith.NewKey().ID()
		s := id.String()
		if len(s) != 56 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("String() = %q, want 56 of a-z, 2-7", s)
		}
		if got, err := kith.ParseID(s); err != nil || got != id {
			t.Errorf("ParseID(%q) = %v, %v, want %v", s, got, err, id)
		}
		if got := id.Short(); got != s[:8] {
			t.Errorf("Short() = %q, want %q", got, s[:8])
		}
		if got, err := kith.IDFromPublicKey(id.PublicKey()); err != nil || got != id {
			t.Errorf("IDFromPublicKey(%x) = %v, %v, want %v", id[:], got, err, id)
		}
	}
}

// idText makes the text of any 35 bytes.
func idText(raw []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))
}

func TestParseIDRefuses(t *testing.T) {
	good := goodID(t, 1).String()
	raw, err := base32.StdEncoding.DecodeString(strings.ToUpper(good))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(i int, xor byte) string {
		p := slices.Clone(raw)
		p[i] ^= xor
		return idText(p)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "56 characters"},
		{"short", good[:55], "56 characters"},
		{"long", good + "a", "56 characters"},
		{"padded", good + "====", "56 characters"},
		{"upper case", strings.ToUpper(good), "illegal"},
		{"one upper-case letter", strings.ToUpper(good[:1]) + good[1:], "illegal"},
		{"outside the alphabet", "1" + good[1:], "illegal"},
		{"padding inside", good[:48] + "========", "illegal"},
		{"newline inside", good[:20] + "\n" + good[21:], "56 characters"},
		{"newline at the end", good[:55] + "\n", "56 characters"},
		{"carriage returns", good[:40] + strings.Repeat("\r\n", 8), "56 characters"},
		{"newlines only", strings.Repeat("\n", 56), "56 characters"},
		{"not UTF-8", "\xff" + good[1:], "illegal"},
		{"key changed", edit(0, 1), "bad checksum"},
		{"checksum changed", edit(32, 1), "bad checksum"},
		{"checksum's second byte changed", edit(33, 0x80), "bad checksum"},
		{"version 0", edit(34, 1), "unknown version"},
		{"version 2", edit(34, 3), "unknown version"},
	} {
		id, err := kith.ParseID(tt.in)
		if err == nil || !id.IsZero() || !strings.Contains(err.Error(), "parse id: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseID(%q) = %v, %v, want the zero ID and an error with %q", tt.name, tt.in, id, err, tt.want)
		}
	}
}

// weakKeys are the encodings of the eight points whose order divides eight,
// with either sign, as little-endian hex: RFC 8032 says nothing against them.
var weakKeys = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

func TestWeakKeysAreRefused(t *testing.T) {
	for _, text := range weakKeys {
		wantKeyRefused(t, unhex(t, text), "low-order")
	}
	// y = p .. 2^255-1: a second encoding of y = 0 .. 18, with either sign.
	for last := 0xed; last <= 0xff; last++ {
		for _, top := range []byte{0x7f, 0xff} {
			key := bytes.Repeat([]byte{0xff}, 32)
			key[0], key[31] = byte(last), top
			wantKeyRefused(t, key, "non-canonical")
		}
	}
	for _, n := range []int{0, 31, 33, 64} {
		if id, err := kith.IDFromPublicKey(make([]byte, n)); err == nil {
			t.Errorf("IDFromPublicKey(%d bytes) = %v, want an error", n, id)
		}
	}
}

// A key that was found good before vouches for no other one.
func TestGoodKeyVouchesForNoOther(t *testing.T) {
	good := goodID(t, 1)
	refused := 0
	for bit := 8; bit < 8*len(good); bit++ {
		goodID(t, 1)
		key := good
		key[bit/8] ^= 1 << (bit % 8)
		if _, err := kith.IDFromPublicKey(key.PublicKey()); err != nil {
			refused++
			wantKeyRefused(t, key[:], "not on the Ed25519 curve")
		}
	}
	if refused < 80 || refused > 170 {
		t.Errorf("%d of 248 keys refused, want about half", refused)
	}
}

func wantKeyRefused(t *testing.T, key []byte, want string) {
	t.Helper()
	if id, err := kith.IDFromPublicKey(key); err == nil || !id.IsZero() || !strings.Contains(err.Error(), want) {
		t.Errorf("IDFromPublicKey(%x) = %v, %v, want an error with %q", key, id, err, want)
	}
	s := kith.ID(key).String() // has a good checksum
	if id, err := kith.ParseID(s); err == nil || !id.IsZero() || !strings.Contains(err.Error(), want) {
		t.Errorf("ParseID(%q) = %v, %v, want an error with %q", s, id, err, want)
	}
}

// TestWeakKeysNeedNoSecret is why low-order keys are refused: a signature made
// by nobody passes for them.
func TestWeakKeysNeedNoSecret(t *testing.T) {
	constant := make([]byte, ed25519.SignatureSize)
	constant[0] = 1 // R is the neutral point, S is 0
	identity := unhex(t, weakKeys[2])
	for i := range 200 {
		if !ed25519.Verify(identity, []byte{byte(i)}, constant) {
			t.Fatalf("Verify(%x, %d, constant) = false, want true", identity, i)
		}
	}
	for _, text := range weakKeys {
		key, passed := unhex(t, text), 0
		for i := range 200 {
			if ed25519.Verify(key, []byte{byte(i)}, constant) {
				passed++
			}
		}
		if passed == 0 {
			t.Errorf("Verify(%s, ..., constant) passed 0 of 200 messages, want some", text)
		}
	}
}

// TestOffCurveKeysAreRefused compares with the textbook: u/v is a square
// exactly if (u/v)^((p-1)/2) is 1.
func TestOffCurveKeysAreRefused(t *testing.T) {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	half := new(big.Int).Rsh(p, 1)
	d := new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p))
	on := 0
	for y := int64(2); y < 130; y++ {
		y2 := big.NewInt(y * y)
		u := new(big.Int).Sub(y2, one)
		v := new(big.Int).Add(new(big.Int).Mul(d, y2), one)
		x2 := u.Mul(u, v.ModInverse(v.Mod(v, p), p))
		square := x2.Exp(x2, half, p).Cmp(one) == 0

		key := make([]byte, 32)
		key[0] = byte(y)
		_, err := kith.IDFromPublicKey(key)
		if (err == nil) != square {
			t.Errorf("IDFromPublicKey(y = %d) = %v, want on the curve %t", y, err, square)
		}
		if square {
			on++
			continue
		}
		wantKeyRefused(t, key, "not on the Ed25519 curve")
	}
	if on < 40 || on > 90 {
		t.Errorf("%d of 128 keys on the curve, want about half", on)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIDAsText(t *testing.T) {
	id := goodID(t, 1)
	text, err := id.MarshalText()
	if err != nil || string(text) != id.String() {
		t.Errorf("MarshalText() = %q, %v, want %q", text, err, id)
	}
	if got, err := id.AppendText([]byte("id=")); err != nil || string(got) != "id="+id.String() {
		t.Errorf("AppendText(%q) = %q, %v, want %q", "id=", got, err, "id="+id.String())
	}
	var back kith.ID
	if err := back.UnmarshalText(text); err != nil || back != id {
		t.Errorf("UnmarshalText(%q) = %v, %v, want %v", text, back, err, id)
	}
	if err := back.UnmarshalText([]byte("nonsense")); err == nil || back != id {
		t.Errorf("UnmarshalText(%q) = %v, %v, want an error and no change", "nonsense", back, err)
	}

	in := map[kith.ID]kith.ID{id: goodID(t, 2)}
	data, err := json.Marshal(in)
	want := `{"` + id.String() + `":"` + goodID(t, 2).String() + `"}`
	if err != nil || string(data) != want {
		t.Errorf("json.Marshal(%v) = %s, %v, want %s", in, data, err, want)
	}
	var out map[kith.ID]kith.ID
	if err := json.Unmarshal(data, &out); err != nil || len(out) != 1 || out[id] != in[id] {
		t.Errorf("json.Unmarshal(%s) = %v, %v, want %v", data, out, err, in)
	}
	if err := json.Unmarshal([]byte(`{"`+id.String()[1:]+`a":1}`), &map[kith.ID]int{}); err == nil {
		t.Error("json.Unmarshal(damaged key) = nil, want an error")
	}
}

func TestZeroID(t *testing.T) {
	var zero kith.ID
	if !zero.IsZero() || goodID(t, 1).IsZero() {
		t.Errorf("IsZero() = %t, %t, want true for the zero ID only", zero.IsZero(), goodID(t, 1).IsZero())
	}
	if id, err := kith.ParseID(zero.String()); err == nil {
		t.Errorf("ParseID(text of the zero ID) = %v, want an error", id)
	}
	id := goodID(t, 1)
	id.PublicKey()[0] ^= 0xff
	if id != goodID(t, 1) {
		t.Error("a change of PublicKey() changed the ID")
	}
}

func FuzzParseID(f *testing.F) {
	good := goodID(f, 1).String()
	f.Add(good)
	f.Add(strings.ToUpper(good))
	f.Add(good[:55] + "\n")
	f.Add(good[:48] + "\r\n\r\n\r\n\r\n")
	for _, text := range weakKeys {
		f.Add(kith.ID(unhex(f, text)).String())
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := kith.ParseID(s)
		if err != nil {
			if !id.IsZero() {
				t.Errorf("ParseID(%q) = %v, %v, want the zero ID with an error", s, id, err)
			}
			return
		}
		if id.String() != s {
			t.Errorf("ParseID(%q).String() = %q, want the same", s, id.String())
		}
		if got, err := kith.IDFromPublicKey(id.PublicKey()); err != nil || got != id {
			t.Errorf("IDFromPublicKey(key of %q) = %v, %v, want %v", s, got, err, id)
		}
	})
}
