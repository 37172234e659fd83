package mux

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenFrames is one of each frame, by the name of its line in the golden file.
func goldenFrames() []struct {
	name string
	data []byte
} {
	data := func(h header, payload string) []byte {
		h.length = len(payload)
		return append(appendHeader(nil, h), payload...)
	}
	return []struct {
		name string
		data []byte
	}{
		{"preface", []byte(Preface)},
		{"lane", data(header{kind: kindData}, "lane")},
		{"open", data(header{kind: kindData, flags: flagOpen, id: 1}, "hello")},
		{"open-end", data(header{kind: kindData, flags: flagOpen | flagEnd, id: 2}, "all")},
		{"end", data(header{kind: kindData, flags: flagEnd, id: 1 << 40}, "")},
		{"waited", data(header{kind: kindData, flags: flagStream | flagConn, id: 3}, "late")},
		{"reset", appendCode(nil, kindReset, 0, 5, 1)},
		{"open-reset", appendCode(nil, kindReset, flagOpen, 7, 4294967295)},
		{"stop", appendCode(nil, kindStop, 0, 4, 8)},
		{"window", appendLimit(nil, kindWindow, 9, 393216)},
		{"window-connection", appendLimit(nil, kindWindow, 0, 1<<50)},
		{"streams", appendLimit(nil, kindStreams, 0, 1024)},
		{"close", appendClose(nil, 14, "going away")},
		{"close-bare", appendClose(nil, 0, "")},
	}
}

func TestGoldenFrames(t *testing.T) {
	var b strings.Builder
	for _, f := range goldenFrames() {
		fmt.Fprintf(&b, "%s %s\n", f.name, hex.EncodeToString(f.data))
	}
	path := filepath.Join("testdata", "frames.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("frames =\n%s\nwant\n%s", b.String(), want)
	}
}

func TestParseHeader(t *testing.T) {
	for _, f := range goldenFrames()[1:] {
		h, err := parseHeader(f.data)
		if err != nil || h.length != len(f.data)-headerLen {
			t.Errorf("parseHeader(%s) = %+v, %v", f.name, h, err)
		}
	}
	good := func(h header) bool { return h.check() == nil }
	for _, c := range []struct {
		h    header
		want bool
	}{
		{header{kind: kindData, length: maxLane}, true},
		{header{kind: kindData, length: maxLane + 1}, false},
		{header{kind: kindData, flags: flagOpen}, false},
		{header{kind: kindData, id: 1, length: maxData}, true},
		{header{kind: kindData, id: 1, length: maxData + 1}, false},
		{header{kind: kindReset, id: 1, length: 4}, true},
		{header{kind: kindReset, id: 1, length: 5}, false},
		{header{kind: kindReset, length: 4}, false},
		{header{kind: kindReset, id: 1, length: 4, flags: flagEnd}, false},
		{header{kind: kindStop, id: 1, length: 4, flags: flagOpen}, false},
		{header{kind: kindWindow, length: 4}, false},
		{header{kind: kindStreams, id: 1, length: 8}, false},
		{header{kind: kindClose, length: 3}, false},
		{header{kind: kindClose, length: 4 + maxReason}, true},
		{header{kind: kindClose, length: 5 + maxReason}, false},
		{header{kind: kindClose, id: 1, length: 4}, false},
	} {
		if got := good(c.h); got != c.want {
			t.Errorf("check(%+v) = %v, want %v", c.h, got, c.want)
		}
	}
}

// TestUnknownFrames tries all first bytes with lengths of interest.
func TestUnknownFrames(t *testing.T) {
	for first := range 256 {
		for _, n := range []int{0, 1, 4, 8, 1 << 16, 1<<24 - 1} {
			b := make([]byte, headerLen)
			b[0], b[1], b[2], b[3] = byte(first), byte(n>>16), byte(n>>8), byte(n)
			known := kind(first&0xf0) >= kindData && kind(first&0xf0) <= kindClose
			if _, err := parseHeader(b); err == nil && !known {
				t.Errorf("parseHeader(% x) = nil, want an error", b)
			}
		}
	}
}

// FuzzFrame checks that a header that is accepted comes out as it went in, and
// announces no more than the protocol allows.
func FuzzFrame(f *testing.F) {
	for _, g := range goldenFrames() {
		f.Add(g.data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerLen {
			return
		}
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		if got := appendHeader(nil, h); !bytes.Equal(got, b[:headerLen]) {
			t.Errorf("header % x parsed and written = % x", b[:headerLen], got)
		}
		if h.length > maxLane || h.id != 0 && h.length > maxData {
			t.Errorf("parseHeader(% x) announces %d bytes", b[:headerLen], h.length)
		}
	})
}

func TestCheckPreface(t *testing.T) {
	for _, c := range []struct{ in, hint string }{
		{"\x16\x03\x01\x02\x00\x01\x00\x01", "TLS"},
		{"\x15\x03\x03\x00\x02\x02\x28", "TLS"},
		{"GET / HT", "HTTP"},
		{"HTTP/1.1", "HTTP"},
		{"PRI * HT", "HTTP/2"},
		{"SSH-2.0-", "SSH"},
		{"KITHMUX\x02", "version 2 of kith"},
		{"\x00\x00\x00", ""},
	} {
		err := CheckPreface([]byte(c.in))
		pe, ok := err.(*PrefaceError)
		if !ok || pe.Hint != c.hint {
			t.Errorf("CheckPreface(%q) = %v, want hint %q", c.in, err, c.hint)
		}
	}
	for n := range len(Preface) + 1 {
		if err := CheckPreface([]byte(Preface[:n])); err != nil {
			t.Errorf("CheckPreface(%q) = %v, want nil", Preface[:n], err)
		}
	}
}
