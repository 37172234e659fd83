package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

func TestHeadTruncated(t *testing.T) {
	p := wire.AppendHead(nil, kith.KindUnary, "greet/Greet", "cbor", time.Second, encoded)
	for n := range len(p) {
		if h, rest, err := wire.ParseHead(p[:n]); !errors.Is(err, wire.ErrMalformed) || rest != nil || h.Method != nil {
			t.Errorf("ParseHead(%d of %d bytes) = %+v, %v, want ErrMalformed and nothing else", n, len(p), h, err)
		}
	}
	if _, rest, err := wire.ParseHead(append(p, "message"...)); string(rest) != "message" || err != nil {
		t.Errorf("ParseHead = rest %q, %v, want %q", rest, err, "message")
	}
}

func TestHeadRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"kind 0":              "\x00\x03a/b",
		"kind 6":              "\x06\x03a/b",
		"kind 7":              "\x07\x03a/b",
		"reserved bit":        "\x81\x03a/b",
		"codec 3":             "\x61\x03a/b",
		"long method":         "\x01\x81\x01" + strings.Repeat("m", 129),
		"long codec":          "\x41\x03a/b\x21" + strings.Repeat("c", 33),
		"huge method length":  "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"long metadata":       "\x11\x03a/b\x81\x80\x01" + strings.Repeat("m", wire.MaxMetadata+1),
		"deadline of 65 bits": "\x09\x03a/b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
	} {
		if h, _, err := wire.ParseHead([]byte(p)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: ParseHead(%.40q) = %+v, %v, want ErrMalformed", name, p, h, err)
		}
	}
}

func TestHeadTimeout(t *testing.T) {
	most := time.Duration(math.MaxInt64) / time.Microsecond * time.Microsecond
	for _, tt := range []struct{ in, want time.Duration }{
		{0, 0},
		{-time.Second, 0},
		{1, time.Microsecond}, // rounded up: never to nothing
		{time.Microsecond, time.Microsecond},
		{time.Microsecond + 1, 2 * time.Microsecond},
		{time.Hour, time.Hour},
		{most, most},
		{math.MaxInt64, most}, // what does not fit is the longest that does
	} {
		p := wire.AppendHead(nil, kith.KindUnary, "a/b", "raw", tt.in, nil)
		h, _, err := wire.ParseHead(p)
		if err != nil || h.Timeout != tt.want {
			t.Errorf("timeout %v = %v, %v after encoding, want %v", tt.in, h.Timeout, err, tt.want)
		}
	}
	// A deadline of 0 µs has passed, which is not the same as none.
	if h, _, err := wire.ParseHead([]byte("\x09\x03a/b\x00")); err != nil || h.Timeout != 1 {
		t.Errorf("ParseHead(0 µs) = %v, %v, want 1ns", h.Timeout, err)
	}
}

func TestMetadata(t *testing.T) {
	long := strings.Repeat("k", 64)
	many := make(kith.Metadata)
	for i := range wire.MaxMetadataKeys {
		many[fmt.Sprint("key", i)] = ""
	}
	for name, md := range map[string]kith.Metadata{
		"all key characters": {"abcdefghijklmnopqrstuvwxyz0123456789-_.": "v"},
		"any value":          {"a": "\x00\xff\n", "b": "", "c": strings.Repeat("v", 1000)},
		"longest key":        {long: "v"},
		"most keys":          many,
		"most bytes":         {"k": strings.Repeat("v", wire.MaxMetadata-4)},
	} {
		p, err := wire.AppendMetadata([]byte("before"), md)
		if err != nil || !bytes.HasPrefix(p, []byte("before")) {
			t.Errorf("%s: AppendMetadata = %.40q, %v, want no error", name, p, err)
			continue
		}
		got, err := wire.ParseMetadata(p[6:])
		if err != nil || !maps.Equal(got, md) {
			t.Errorf("%s: ParseMetadata = %d keys, %v, want the same %d", name, len(got), err, len(md))
		}
		again, err := wire.AppendMetadata([]byte("before"), md)
		if err != nil || !bytes.Equal(again, p) {
			t.Errorf("%s: AppendMetadata twice gives different bytes", name)
		}
	}
	for _, md := range []kith.Metadata{nil, {}} {
		if p, err := wire.AppendMetadata(nil, md); len(p) != 0 || err != nil {
			t.Errorf("AppendMetadata(%v) = % x, %v, want nothing", md, p, err)
		}
	}
	if md, err := wire.ParseMetadata(nil); md != nil || err != nil {
		t.Errorf("ParseMetadata(nothing) = %v, %v, want nil", md, err)
	}
}

func TestAppendMetadataRefuses(t *testing.T) {
	many := make(kith.Metadata)
	for i := range wire.MaxMetadataKeys + 1 {
		many[fmt.Sprint("key", i)] = ""
	}
	for name, md := range map[string]kith.Metadata{
		"empty key":      {"": "v"},
		"long key":       {strings.Repeat("k", 65): "v"},
		"upper case":     {"Key": "v"},
		"space":          {"a b": "v"},
		"control":        {"a\n": "v"},
		"not ASCII":      {"ä": "v"},
		"huge key":       {strings.Repeat("K", 1<<20): "v"},
		"too many":       many,
		"too many bytes": {"k": strings.Repeat("v", wire.MaxMetadata-3)},
	} {
		p, err := wire.AppendMetadata([]byte("before"), md)
		if err == nil || string(p) != "before" || len(err.Error()) > 400 {
			t.Errorf("%s: AppendMetadata = %.40q, %v, want %q and a short error", name, p, err, "before")
		}
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"cut short":        string(encoded[:len(encoded)-1]),
		"key only":         "\x01a",
		"empty key":        "\x00\x01v",
		"long key":         "\x41" + strings.Repeat("k", 65) + "\x00",
		"upper case":       "\x01A\x00",
		"twice":            "\x01a\x00\x01b\x00\x01a\x00",
		"twice next":       "\x01a\x00\x01a\x00",
		"huge length":      "\x01a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"not the shortest": "\x81\x00a\x00",
	} {
		if md, err := wire.ParseMetadata([]byte(p)); !errors.Is(err, wire.ErrMalformed) || md != nil {
			t.Errorf("%s: ParseMetadata(%.40q) = %v, %v, want ErrMalformed", name, p, md, err)
		}
	}
}

// TestParseMetadataCopies: the input is used again before the handler is done.
func TestParseMetadataCopies(t *testing.T) {
	p := bytes.Clone(encoded)
	md, err := wire.ParseMetadata(p)
	if err != nil {
		t.Fatal(err)
	}
	clear(p)
	if !maps.Equal(md, metadata) {
		t.Errorf("ParseMetadata = %v after its input changed, want %v", md, metadata)
	}
}

// TestMetadataAllocation: 16 KiB of the shortest keys would make a map many
// times their size, in each of thousands of calls.
func TestMetadataAllocation(t *testing.T) {
	var p []byte
	for i := 0; len(p)+6 < wire.MaxMetadata; i++ {
		p = append(p, 3, byte('a'+i%26), byte('a'+i/26%26), byte('a'+i/26/26), 0)
	}
	if md, err := wire.ParseMetadata(p); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("ParseMetadata(%d bytes of short keys) = %d keys, %v, want ErrMalformed", len(p), len(md), err)
	}
	checkAllocated(t, "ParseMetadata", len(p), func() { _, _ = wire.ParseMetadata(p) })
}
