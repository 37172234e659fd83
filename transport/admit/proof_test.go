package admit_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/kith-go/kith/transport/admit"
)

func TestProofs(t *testing.T) {
	long := strings.Repeat("v", 3000)
	var list []byte
	for _, p := range [][2]string{{"a", "1"}, {"b", ""}, {strings.Repeat("n", 32), long}, {"a", "2"}} {
		list = admit.AppendProof(list, p[0], []byte(p[1]))
	}
	for name, want := range map[string][]string{
		"a": {"1", "2"}, "b": {""}, strings.Repeat("n", 32): {long}, "c": nil, "": nil, "A": nil,
	} {
		var got []string
		for p := range admit.Proofs(list, name) {
			got = append(got, string(p))
		}
		if !slices.Equal(got, want) {
			t.Errorf("Proofs(%q) = %q, want %q", name, got, want)
		}
	}
	for range admit.Proofs(list, "a") {
		break
	}
	wantPanic(t, "AppendProof with no name", func() { admit.AppendProof(nil, "", nil) })
	wantPanic(t, "AppendProof with a long name", func() { admit.AppendProof(nil, strings.Repeat("n", 33), nil) })
}

func TestProofsRefuse(t *testing.T) {
	for what, list := range map[string]string{
		"a name without a value":        "\x01a\x011\x01a",
		"a value cut short":             "\x01a\x011\x01a\x02x",
		"a name cut short":              "\x01a\x011\x05a",
		"an empty name":                 "\x01a\x011\x00\x00",
		"a long name":                   "\x01a\x011\x21" + strings.Repeat("n", 33) + "\x00",
		"a huge length":                 "\x01a\x011\x01b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"a length over 64 bits":         "\x01a\x011\x01b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"a length not in shortest form": "\x01a\x81\x001",
		"half a length":                 "\x01a\x011\x01b\x80",
	} {
		for p := range admit.Proofs([]byte(list), "a") {
			t.Errorf("%s: Proofs(%q) has %q, want none", what, list, p)
		}
	}
}

// FuzzProofs: there is one form of each list, and nothing outside of it is read.
func FuzzProofs(f *testing.F) {
	f.Add([]byte(nil), "a")
	f.Add([]byte("\x01a\x011\x01b\x00\x01a\x02xx"), "a")
	f.Add(admit.AppendProof(nil, "network", make([]byte, 200)), "network")
	f.Fuzz(func(t *testing.T, list []byte, name string) {
		size := 0
		for p := range admit.Proofs(list, name) {
			again := admit.AppendProof(nil, name, p)
			if !bytes.Contains(list, again) {
				t.Fatalf("Proofs(%x, %q) has %x, which is not in it", list, name, p)
			}
			size += len(again)
		}
		if size > len(list) {
			t.Errorf("Proofs(%x, %q) has %d bytes, of %d", list, name, size, len(list))
		}
	})
}
