package discovery_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// goldenRecords are the records in testdata, signed by keyOf(1): what other releases write and read.
var goldenRecords = map[string]discovery.Record{
	"least":   {Sequence: 1},
	"goodbye": {Network: tag(7), Sequence: 1<<40 + 2, Expires: time.Unix(2_000_000_060, 0).UTC()},
	"full": {
		Network: tag(7), Sequence: 1<<40 + 1, Expires: time.Unix(2_000_000_000, 0).UTC(),
		Addrs:    []string{"quic://192.168.1.7:4433", "tcp://[fe80::1%eth0]:4433"},
		Services: []discovery.Tag{tag(1), tag(2), tag(0xff)},
	},
}

func tag(b byte) discovery.Tag { return discovery.Tag{7: b} }

// naive encodes a record as the comment in encoding.go says it, by other means.
func naive(key ed25519.PrivateKey, r discovery.Record) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "01%x%x%016x%016x%02x", key.Public(), r.Network, r.Sequence, uint64(r.Expires.Unix()), len(r.Addrs))
	for _, a := range r.Addrs {
		fmt.Fprintf(&text, "%02x%x", len(a), a)
	}
	fmt.Fprintf(&text, "%02x", len(r.Services))
	for _, s := range r.Services {
		fmt.Fprintf(&text, "%x", s)
	}
	body, err := hex.DecodeString(text.String())
	if err != nil {
		panic(err)
	}
	return append(body, ed25519.Sign(key, append([]byte("kith discovery record v1"), body...))...)
}

// golden returns the bytes in testdata/name.hex, which are hexadecimal digits and white space.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s.hex: %v", name, err)
	}
	return p
}

func TestGoldenRecords(t *testing.T) {
	for name, r := range goldenRecords {
		if r.Expires.IsZero() {
			r.Expires = time.Unix(0, 0).UTC()
		}
		want := golden(t, name)
		if got := sign(t, keyOf(1), r); !bytes.Equal(got, want) {
			t.Errorf("%s: Sign(%+v) = %x, want %x", name, r, got, want)
		}
		if got := naive(ed25519.NewKeyFromSeed([]byte{31: 1}), r); !bytes.Equal(got, want) {
			t.Errorf("%s: the encoding by the book = %x, want %x", name, got, want)
		}
		s, err := discovery.Open(want)
		r.ID = keyOf(1).ID()
		if err != nil || !reflect.DeepEqual(s.Record(), r) {
			t.Errorf("%s: Open(%x) = %+v, %v, want %+v", name, want, s.Record(), err, r)
		}
		if got := string(s.Append([]byte("before"))); got != "before"+string(want) {
			t.Errorf("%s: Append = %x, want %x", name, got, want)
		}
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) != len(goldenRecords) {
		t.Errorf("testdata has %d files, %v, want %d", len(files), err, len(goldenRecords))
	}
}

// Whatever bit is changed, and wherever a record is cut or grows, it does not open.
func TestOpenRefusesEveryChange(t *testing.T) {
	names := []string{"full", "goodbye"}
	if raceEnabled { // where to check a signature takes milliseconds
		names = names[1:]
	}
	for _, name := range names {
		good := golden(t, name)
		for i := range 8 * len(good) {
			p := bytes.Clone(good)
			p[i/8] ^= 1 << (i % 8)
			if _, err := discovery.Open(p); !errors.Is(err, discovery.ErrRecord) {
				t.Errorf("%s: Open(bit %d of byte %d changed) = %v, want ErrRecord", name, i%8, i/8, err)
			}
		}
		for n := range len(good) {
			if _, err := discovery.Open(good[:n]); !errors.Is(err, discovery.ErrRecord) {
				t.Errorf("%s: Open(the first %d bytes) = %v, want ErrRecord", name, n, err)
			}
		}
		if _, err := discovery.Open(append(bytes.Clone(good), 0)); !errors.Is(err, discovery.ErrRecord) {
			t.Errorf("%s: Open(one byte more) = %v, want ErrRecord", name, err)
		}
	}
}

// A record that is not canonical does not open, however well it is signed.
func TestOpenRefusesForm(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte{31: 1})
	good := discovery.Record{Network: home, Sequence: 5, Expires: time.Unix(2_000_000_000, 0), Addrs: []string{"quic://a:1"}}
	with := func(change func(*discovery.Record)) []byte {
		r := good
		change(&r)
		return naive(key, r)
	}
	body := naive(key, good)
	body = body[:len(body)-ed25519.SignatureSize]
	resign := func(at int, b byte) []byte {
		p := bytes.Clone(body)
		p[at] = b
		return append(p, ed25519.Sign(key, append([]byte("kith discovery record v1"), p...))...)
	}
	lowOrder := naive(key, good) // its "signature" passes for every message
	copy(lowOrder[1:33], append([]byte{1}, make([]byte, 31)...))
	copy(lowOrder[len(body):], append([]byte{1}, make([]byte, 63)...))

	if text := append([]byte("kith discovery record v1"), lowOrder[:len(body)]...); !ed25519.Verify(lowOrder[1:33], text, lowOrder[len(body):]) {
		t.Fatal("the record with the low-order key has no signature that passes")
	}
	if _, err := discovery.Open(with(func(*discovery.Record) {})); err != nil {
		t.Fatalf("Open(the record that the others differ from) = %v, want nil", err)
	}
	tests := map[string][]byte{
		"nothing":                  nil,
		"version 0":                resign(0, 0),
		"version 2":                resign(0, 2),
		"sequence 0":               with(func(r *discovery.Record) { r.Sequence = 0 }),
		"expires before 1970":      with(func(r *discovery.Record) { r.Expires = time.Unix(-1, 0) }),
		"expires in the year 1e4":  with(func(r *discovery.Record) { r.Expires = time.Unix(253402300800, 0) }),
		"more addresses than said": resign(57, 0),
		"less addresses than said": resign(57, 2),
		"address longer than said": resign(58, 9),
		"address past the end":     resign(58, 255),
		"17 addresses":             with(func(r *discovery.Record) { r.Addrs = repeat("a://b", 17) }),
		"33 services":              with(func(r *discovery.Record) { r.Services = tags(33) }),
		"services that fall":       with(func(r *discovery.Record) { r.Services = []discovery.Tag{tag(2), tag(1)} }),
		"services twice":           with(func(r *discovery.Record) { r.Services = []discovery.Tag{tag(1), tag(1)} }),
		"901 bytes":                with(func(r *discovery.Record) { r.Addrs, r.Services = fill(901-123), nil }),
		"no signature's prefix":    append(bytes.Clone(body), ed25519.Sign(key, body)...),
		"low-order key":            lowOrder,
	}
	for name, p := range tests {
		if _, err := discovery.Open(p); !errors.Is(err, discovery.ErrRecord) {
			t.Errorf("Open(%s) = %v, want ErrRecord", name, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		addr string
		ok   bool
	}{
		{"quic://192.168.1.7:4433", true},
		{"tcp://[fe80::1%eth0]:4433", true},
		{"memory://name", true},
		{"unix:///run/app.sock", true},
		{"a+b-c.1://x", true},
		{"a://" + strings.Repeat("x", discovery.MaxAddr-4), true},
		{"a://" + strings.Repeat("x", discovery.MaxAddr-3), false},
		{"a://" + strings.Repeat("x", 1000), false},
		{"", false},
		{"host:1", false},
		{"://host", false},
		{"quic://", false},
		{"Quic://host", false},
		{"1a://host", false},
		{"quic:/host", false},
		{"quic://" + keyOf(1).ID().String() + "@host:1", false},
		{"quic://@host:1", false},
		{"quic://ho st", false},
		{"quic://host\n", false},
		{"quic://host\x00", false},
		{"quic://host\x7f", false},
		{"quic://h\u00f6st", false},
		{"quic://host\xff", false},
	}
	for _, tt := range tests {
		_, err := discovery.Sign(keyOf(1), record(1, tt.addr))
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, discovery.ErrRecord) {
			t.Errorf("Sign(address %q) = %v, want it accepted: %v", tt.addr, err, tt.ok)
		}
		if len(tt.addr) > 255 {
			continue // has no encoding
		}
		_, err = discovery.Open(naive(ed25519.NewKeyFromSeed([]byte{31: 1}), record(1, tt.addr)))
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, discovery.ErrRecord) {
			t.Errorf("Open(address %q) = %v, want it accepted: %v", tt.addr, err, tt.ok)
		}
	}
}

func TestSign(t *testing.T) {
	tests := []struct {
		name string
		rec  discovery.Record
		ok   bool
	}{
		{"goodbye", record(math.MaxUint64), true},
		{"most addresses", record(1, repeat("a://b", discovery.MaxAddrs)...), true},
		{"too many addresses", record(1, repeat("a://b", discovery.MaxAddrs+1)...), false},
		{"256 addresses", record(1, repeat("a://b", 256)...), false},
		{"as long as can be", record(1, fill(discovery.MaxSize-123)...), true},
		{"too long", record(1, fill(discovery.MaxSize-122)...), false},
		{"sequence 0", record(0, "a://b"), false},
		{"no expiry", discovery.Record{Sequence: 1}, false},
		{"most services", discovery.Record{Sequence: 1, Expires: time.Unix(0, 0), Services: tags(32)}, true},
		{"too many services", discovery.Record{Sequence: 1, Expires: time.Unix(0, 0), Services: tags(33)}, false},
		{"unordered services", discovery.Record{Sequence: 1, Expires: time.Unix(0, 0), Services: []discovery.Tag{tag(2), tag(1)}}, false},
	}
	for _, tt := range tests {
		s, err := discovery.Sign(keyOf(1), tt.rec)
		if (err == nil) != tt.ok || s.IsZero() == tt.ok || err != nil && !errors.Is(err, discovery.ErrRecord) {
			t.Errorf("Sign(%s) = %v, want it signed: %v", tt.name, err, tt.ok)
		}
	}
}

// Sign keeps nothing of its argument, and what it returns is what the other side opens.
func TestSignCopies(t *testing.T) {
	r := record(3, "quic://a:1")
	r.ID = keyOf(2).ID()
	r.Services = []discovery.Tag{tag(1)}
	r.Expires = r.Expires.Truncate(time.Second).Add(time.Second - 1)
	s, err := discovery.Sign(keyOf(1), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Addrs[0], r.Services[0] = "changed", tag(9)
	opened, err := discovery.Open(s.Append(nil))
	if err != nil || !reflect.DeepEqual(opened, s) {
		t.Errorf("Open(what Sign returned) = %+v, %v, want %+v", opened, err, s)
	}
	got := s.Record()
	if got.ID != keyOf(1).ID() || got.Addrs[0] != "quic://a:1" || got.Services[0] != tag(1) {
		t.Errorf("Record() = %+v, want it with the key's ID and as it was when signed", got)
	}
	if want := r.Expires.Truncate(time.Second); !got.Expires.Equal(want) {
		t.Errorf("Expires = %v, want %v cut to %v", got.Expires, r.Expires, want)
	}
	if got.IsGoodbye() {
		t.Errorf("IsGoodbye() = true with %d addresses, want false", len(got.Addrs))
	}
}

// A badSigner returns sig for everything.
type badSigner struct {
	ed25519.PrivateKey
	sig []byte
}

// Sign implements crypto.Signer.
func (s badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.sig, nil }

func TestSignWithABadSigner(t *testing.T) {
	for _, sig := range [][]byte{nil, make([]byte, 63)} {
		key, err := kith.KeyFromSigner(badSigner{ed25519.NewKeyFromSeed([]byte{31: 1}), sig})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := discovery.Sign(key, record(1, "a://b")); err == nil || errors.Is(err, discovery.ErrRecord) || !s.IsZero() {
			t.Errorf("Sign(a signer that returns %d bytes) = %v, want an error that is not the record's", len(sig), err)
		}
	}
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func tags(n int) []discovery.Tag {
	all := make([]discovery.Tag, n)
	for i := range all {
		all[i] = tag(byte(i))
	}
	return all
}

// fill returns addresses that take n bytes of a record.
func fill(n int) []string {
	var all []string
	for ; n > 129; n -= 100 {
		all = append(all, "a://"+strings.Repeat("x", 95))
	}
	return append(all, "a://"+strings.Repeat("x", n-5))
}

func FuzzOpen(f *testing.F) {
	for name := range goldenRecords {
		p := golden(f, name)
		f.Add(p, false)
		f.Add(p, true)
		f.Add(p[:len(p)/2], true)
	}
	key := ed25519.NewKeyFromSeed([]byte{31: 1})
	f.Fuzz(func(t *testing.T, p []byte, signed bool) {
		if signed && len(p) > 100 { // else no input gets past the signature
			body := bytes.Clone(p[:len(p)-ed25519.SignatureSize])
			copy(body[1:], key.Public().(ed25519.PublicKey))
			p = append(body, ed25519.Sign(key, append([]byte("kith discovery record v1"), body...))...)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := discovery.Open(p)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("Open of %d bytes allocates %d bytes", len(p), n)
		}
		if err != nil {
			if !errors.Is(err, discovery.ErrRecord) || !s.IsZero() {
				t.Errorf("Open(%x) = %v, %v, want ErrRecord and nothing", p, s, err)
			}
			return
		}
		r := s.Record()
		if len(p) > discovery.MaxSize || len(r.Addrs) > discovery.MaxAddrs || len(r.Services) > discovery.MaxServices {
			t.Errorf("Open(%x) = %+v, beyond the limits", p, r)
		}
		if got := s.Append(nil); !bytes.Equal(got, p) {
			t.Errorf("Append = %x, want %x", got, p)
		}
		if signed { // a second encoding of the record would differ from ours
			if got := sign(t, keyOf(1), r); !bytes.Equal(got, p) {
				t.Errorf("Sign(Open(%x)) = %x, want the same", p, got)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for name := range goldenRecords {
		p := golden(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := discovery.Open(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
