package wire_test

import (
	"bytes"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// checkAllocated fails t if f allocates more than what any input of size
// bytes may make this package allocate.
func checkAllocated(t *testing.T, what string, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(size)+64<<10 {
		t.Errorf("%s of %d bytes allocates %d bytes, want at most 64 KiB more than its input", what, size, n)
	}
}

// addBodies adds the bodies of the golden frames, and pieces of them.
func addBodies(f *testing.F, keep func(frame) bool) {
	for _, fr := range laneFrames {
		if p := golden(f, fr.file)[wire.LaneHeader:]; keep(fr) {
			f.Add(p)
			f.Add(p[:len(p)/2])
		}
	}
	for _, fr := range streamFrames {
		if p := golden(f, fr.file)[wire.StreamHeader:]; keep(fr) {
			f.Add(p)
		}
	}
}

func FuzzHello(f *testing.F) {
	addBodies(f, func(fr frame) bool { _, ok := fr.value.(wire.Hello); return ok })
	f.Fuzz(func(t *testing.T, p []byte) {
		var h wire.Hello
		var err error
		checkAllocated(t, "ParseHello", len(p), func() { h, err = wire.ParseHello(p) })
		if err != nil {
			return
		}
		if h.Version == 0 || h.LaneCalls < 0 || h.LaneCalls > wire.MaxLaneCalls || h.MaxMessage < -1 ||
			h.PingFloor < 0 || h.PingFloor > time.Hour || len(h.Proof) > wire.MaxProof {
			t.Errorf("ParseHello(% x) = %+v, out of range", p, h)
		}
		if len(h.Proof) == 0 {
			h.Proof = nil // an empty one is not sent
		}
		again, err := wire.ParseHello(h.Append(nil))
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Errorf("ParseHello(Append(%+v)) = %+v, %v, want the same", h, again, err)
		}
	})
}

func FuzzLaneFrames(f *testing.F) {
	var all []byte
	for _, fr := range laneFrames {
		p := golden(f, fr.file)
		f.Add(p)
		f.Add(p[:len(p)-len(p)/3])
		all = append(all, p...)
	}
	f.Add(all)
	f.Add([]byte{4, 0, 0x40, 0})
	f.Add([]byte{4, 0, 0x40, 1})
	f.Add([]byte{255, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		for len(p) > 0 {
			typ, body, n, need, err := wire.NextLane(p)
			switch {
			case err != nil:
				return
			case n == 0 && (need <= len(p) || need > wire.LaneHeader+wire.MaxLane):
				t.Fatalf("NextLane(%d bytes) needs %d, want more, and at most a frame", len(p), need)
			case n == 0:
				return
			case n != wire.LaneHeader+len(body) || need != 0:
				t.Fatalf("NextLane = n %d, need %d, %d bytes of body, want a whole frame", n, need, len(body))
			}
			if again := wire.EndLane(append(wire.AppendLane(nil, typ), body...), 0); !bytes.Equal(again, p[:n]) {
				t.Errorf("frame % x encodes as % x", p[:n], again)
			}
			fuzzNumbers(t, typ, body, p[:n])
			p = p[n:]
		}
	})
}

func fuzzNumbers(t *testing.T, typ wire.FrameType, body, whole []byte) {
	v, err := wire.ParseNumber(body)
	if err == nil {
		if again := wire.AppendNumber(nil, typ, v); !bytes.Equal(again, whole) {
			t.Errorf("number frame % x encodes as % x", whole, again)
		}
	}
	first, rest, splitErr := wire.SplitNumber(body)
	if splitErr == nil && !bytes.Equal(append(appendUvarint(nil, first), rest...), body) {
		t.Errorf("SplitNumber(% x) = %d, % x, which is not what was there", body, first, rest)
	}
	if (err == nil) != (splitErr == nil && len(rest) == 0) {
		t.Errorf("ParseNumber(% x) = %v, SplitNumber = %v with %d left", body, err, splitErr, len(rest))
	}
}

func FuzzEnvelope(f *testing.F) {
	addBodies(f, func(fr frame) bool { return true })
	f.Add(encoded)
	for _, fr := range append(laneFrames, streamFrames...) { // without their ids
		switch v := fr.value.(type) {
		case call:
			f.Add(appendCall(nil, v)[len(appendUvarint(nil, v.id)):])
		case fail:
			f.Add(v.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		fuzzHead(t, p)
		fuzzMetadata(t, p)
		fuzzFail(t, p)
		var trailer, rest []byte
		var err error
		checkAllocated(t, "ParseTrailer", len(p), func() { trailer, rest, err = wire.ParseTrailer(p) })
		if err == nil && !bytes.Equal(append(wire.AppendTrailer(nil, trailer), rest...), p) {
			t.Errorf("ParseTrailer(% x) = % x, % x, which is not what was there", p, trailer, rest)
		}
	})
}

func fuzzHead(t *testing.T, p []byte) {
	var h wire.Head
	var rest []byte
	var err error
	checkAllocated(t, "ParseHead", len(p), func() { h, rest, err = wire.ParseHead(p) })
	if err != nil {
		return
	}
	if len(h.Method) > kith.MaxMethodName || len(h.Codec) > 32 || len(h.Metadata) > wire.MaxMetadata || h.Timeout < 0 {
		t.Errorf("ParseHead(% x) = %+v, out of range", p, h)
	}
	again := wire.AppendHead(nil, h.Kind, string(h.Method), string(h.Codec), h.Timeout, h.Metadata)
	codec := string(h.Codec)
	canonical := (p[0]&0x40 == 0 || codec != "raw" && codec != "json") &&
		(p[0]&0x08 == 0 || h.Timeout%time.Microsecond == 0 && h.Timeout < 1<<62) && (p[0]&0x10 == 0 || len(h.Metadata) > 0)
	if canonical && !bytes.Equal(again, p[:len(p)-len(rest)]) {
		t.Errorf("ParseHead(% x) = %+v, which encodes as % x", p, h, again)
	}
	fuzzMetadata(t, h.Metadata)
}

func fuzzMetadata(t *testing.T, p []byte) {
	if len(p) > wire.MaxMetadata {
		return // its callers checked
	}
	var md kith.Metadata
	var err error
	checkAllocated(t, "ParseMetadata", len(p), func() { md, err = wire.ParseMetadata(p) })
	if err != nil {
		return
	}
	again, err := wire.AppendMetadata(nil, md)
	if err != nil || len(again) != len(p) {
		t.Errorf("AppendMetadata(%v) = % x, %v, want a permutation of % x", md, again, err, p)
	}
	if keys := slices.Sorted(maps.Keys(md)); len(keys) > wire.MaxMetadataKeys || slices.ContainsFunc(keys, func(k string) bool {
		return strings.Trim(k, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != ""
	}) {
		t.Errorf("ParseMetadata(% x) = %q, against the rules", p, keys)
	}
	if back, err := wire.ParseMetadata(again); err != nil || !maps.Equal(back, md) {
		t.Errorf("ParseMetadata(AppendMetadata(%v)) = %v, %v, want the same", md, back, err)
	}
}

func fuzzFail(t *testing.T, p []byte) {
	var fail wire.Fail
	var err error
	checkAllocated(t, "ParseFail", len(p), func() { fail, err = wire.ParseFail(p) })
	if err != nil {
		return
	}
	e := fail.Err()
	if !kith.Remote(e) || !e.Code().Known() || e.Code() == kith.OK || strings.ContainsAny(e.Error(), "\n\x00\x1b") {
		t.Errorf("ParseFail(% x).Err() = %q, want one line with a known code", p, e)
	}
	flagged := p[0]&2 != 0 && len(fail.Details) == 0 || p[0]&4 != 0 && len(fail.Trailer) == 0
	if again := fail.Append(nil); !flagged && fail.Code < 1<<31 && !bytes.Equal(again, p) {
		t.Errorf("ParseFail(% x) = %+v, which encodes as % x", p, fail, again)
	}
}
