package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/kith-go/kith/internal/wire"
)

// tagged makes the body of a hello of tags and values in turn.
func tagged(parts ...string) []byte {
	var dst []byte
	for i, p := range parts {
		if i%2 == 1 {
			dst = appendUvarint(dst, uint64(len(p)))
		}
		dst = append(dst, p...)
	}
	return dst
}

func TestHelloTruncated(t *testing.T) {
	_, body, _, _, err := wire.NextLane(golden(t, "hello-v1"))
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{3: true, 13: true, 17: true, 23: true, 27: true, len(body): true} // between values
	for n := range len(body) + 1 {
		h, err := wire.ParseHello(body[:n])
		if ends[n] != (err == nil) {
			t.Errorf("ParseHello(%d of %d bytes) = %+v, %v, want ok %t", n, len(body), h, err, ends[n])
		}
		if err != nil && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("ParseHello(%d of %d bytes) = %v, want ErrMalformed", n, len(body), err)
		}
	}
}

func TestHelloRefuses(t *testing.T) {
	version := "\x01"
	for name, body := range map[string][]byte{
		"empty":                      nil,
		"no version":                 tagged("\x03", "\x10"),
		"version 0":                  tagged("\x01", "\x00"),
		"empty version":              tagged("\x01", ""),
		"version twice":              tagged("\x01", version, "\x01", version),
		"proof twice":                tagged("\x01", version, "\x06", "a", "\x06", "b"),
		"unknown tag below 64 twice": tagged("\x01", version, "\x3f", "", "\x3f", ""),
		"short instance":             tagged("\x01", version, "\x02", "1234567"),
		"long instance":              tagged("\x01", version, "\x02", "123456789"),
		"version not the shortest":   tagged("\x01", "\x81\x00"),
		"tag not the shortest":       tagged("\x81\x00", version),
		"length not the shortest":    []byte("\x01\x81\x00\x01"),
		"tag over 64 bits":           tagged("\x01", version, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", ""),
		"number over 64 bits":        tagged("\x01", version, "\x04", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
		"number cut short":           tagged("\x01", version, "\x04", "\x80"),
		"bytes behind a number":      tagged("\x01", version, "\x04", "\x10\x00"),
		"bytes behind the version":   tagged("\x01", "\x01\x01"),
		"length beyond the end":      []byte("\x01\x01\x01\x06\x05abc"),
		"huge length":                []byte("\x01\x01\x01\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc"),
		"proof too long":             tagged("\x01", version, "\x06", string(make([]byte, wire.MaxProof+1))),
		"attempt cut short":          tagged("\x01", version, "\x08", "\x80"),
		"bytes behind the attempt":   tagged("\x01", version, "\x08", "\x01\x01"),
		"a held one cut short":       tagged("\x01", version, "\x09", "\x02\x80"),
		"too many held":              tagged("\x01", version, "\x09", string(make([]byte, wire.MaxHolds+1))),
		"eager with a value":         tagged("\x01", version, "\x0a", "\x01"),
		"unknown value too long":     tagged("\x01", version, "\x40", string(make([]byte, wire.MaxHello+1))),
	} {
		if h, err := wire.ParseHello(body); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: ParseHello(% .40x) = %+v, %v, want ErrMalformed", name, body, h, err)
		}
	}
}

func TestHelloTakes(t *testing.T) {
	most := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	proof := string(bytes.Repeat([]byte{7}, wire.MaxProof))
	for _, tt := range []struct {
		name string
		body []byte
		want wire.Hello
	}{
		{"version only", tagged("\x01", "\x01"), wire.Hello{Version: 1, MaxMessage: -1}},
		{"a later version", tagged("\x01", "\x80\x02"), wire.Hello{Version: 256, MaxMessage: -1}},
		{"any order", tagged("\x05", "\x01", "\x01", "\x01"), wire.Hello{Version: 1, MaxMessage: -1, PingFloor: time.Millisecond}},
		{
			"unknown tags, also twice from 64", tagged("\x07", "x", "\x40", "", "\x40", "y", "\x01", "\x01", most, "z"),
			wire.Hello{Version: 1, MaxMessage: -1},
		},
		{
			"numbers that are too large are cut", tagged("\x01", "\x01", "\x03", most, "\x04", most, "\x05", most),
			wire.Hello{Version: 1, LaneCalls: wire.MaxLaneCalls, MaxMessage: 1<<31 - 1, PingFloor: time.Hour},
		},
		{"no messages", tagged("\x01", "\x01", "\x04", "\x00"), wire.Hello{Version: 1}},
		{"longest proof", tagged("\x01", "\x01", "\x06", proof), wire.Hello{Version: 1, MaxMessage: -1, Proof: []byte(proof)}},
	} {
		if h, err := wire.ParseHello(tt.body); err != nil || !reflect.DeepEqual(h, tt.want) {
			t.Errorf("%s: ParseHello(% .40x) = %+v, %v, want %+v", tt.name, tt.body, h, err, tt.want)
		}
	}
}

// TestHelloWithOddValues: no setting of ours makes a number that the other
// side would take for a huge one.
func TestHelloWithOddValues(t *testing.T) {
	in := wire.Hello{Version: 1, LaneCalls: -1, MaxMessage: -5, PingFloor: -time.Second}
	want := wire.Hello{Version: 1, MaxMessage: -1}
	if h, err := wire.ParseHello(in.Append(nil)); err != nil || !reflect.DeepEqual(h, want) {
		t.Errorf("ParseHello(Append(%+v)) = %+v, %v, want %+v", in, h, err, want)
	}
	in = wire.Hello{Version: 1, PingFloor: 1500 * time.Microsecond}
	if h, err := wire.ParseHello(in.Append(nil)); err != nil || h.PingFloor != 2*time.Millisecond {
		t.Errorf("ParseHello(Append(%+v)) = %+v, %v, want the ping floor rounded up", in, h, err)
	}
}

// TestHelloFits: whatever the settings, a hello with the longest proof fits.
func TestHelloFits(t *testing.T) {
	h := wire.Hello{
		Version: 1, LaneCalls: wire.MaxLaneCalls, MaxMessage: 1<<31 - 1, PingFloor: time.Hour,
		Proof: make([]byte, wire.MaxProof),
	}
	if n := len(h.Append(nil)); n > wire.MaxHello {
		t.Errorf("Append makes %d bytes, want at most %d", n, wire.MaxHello)
	}
}
