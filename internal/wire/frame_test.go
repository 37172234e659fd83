package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kith-go/kith/internal/wire"
)

func TestNextLane(t *testing.T) {
	longest := wire.EndLane(append(wire.AppendLane(nil, wire.FrameCall), make([]byte, wire.MaxLane)...), 0)
	tooLong := wire.EndLane(append(wire.AppendLane(nil, wire.FrameCall), make([]byte, wire.MaxLane+1)...), 0)
	for _, f := range [][]byte{golden(t, "call"), golden(t, "drain"), longest} {
		for n := range min(len(f), 100) {
			typ, body, took, need, err := wire.NextLane(f[:n])
			wantNeed := wire.LaneHeader
			if n >= wire.LaneHeader {
				wantNeed = len(f)
			}
			if typ != 0 || body != nil || took != 0 || need != wantNeed || err != nil {
				t.Errorf("NextLane(%d of %d bytes) = %d, % x, %d, need %d, %v, want need %d", n, len(f), typ, body, took, need, err, wantNeed)
			}
		}
		_, body, took, need, err := wire.NextLane(f)
		if took != len(f) || need != 0 || err != nil || len(body) != len(f)-wire.LaneHeader || cap(body) != len(body) {
			t.Errorf("NextLane(%d bytes) = %d bytes of body, cap %d, took %d, need %d, %v, want all", len(f), len(body), cap(body), took, need, err)
		}
	}
	for n := wire.LaneHeader; n < 10; n++ { // as soon as the header is there
		if _, _, took, need, err := wire.NextLane(tooLong[:n]); !errors.Is(err, wire.ErrMalformed) || took != 0 || need != 0 {
			t.Errorf("NextLane(%d bytes of a frame too long) = %d, need %d, %v, want ErrMalformed", n, took, need, err)
		}
	}
}

func TestIgnorable(t *testing.T) {
	for typ := range 256 {
		if got := wire.FrameType(typ).Ignorable(); got != (typ >= 128) {
			t.Errorf("FrameType(%d).Ignorable() = %t, want %t", typ, got, typ >= 128)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 1 << 13, 1<<63 - 1, 1<<64 - 1} {
		body := appendUvarint(nil, v)
		if got, err := wire.ParseNumber(body); got != v || err != nil {
			t.Errorf("ParseNumber(% x) = %d, %v, want %d", body, got, err, v)
		}
		if got, rest, err := wire.SplitNumber(append(body, "rest"...)); got != v || string(rest) != "rest" || err != nil {
			t.Errorf("SplitNumber(% x) = %d, %q, %v, want %d", body, got, rest, err, v)
		}
		for n := range body {
			if got, err := wire.ParseNumber(body[:n]); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("ParseNumber(% x) = %d, %v, want ErrMalformed", body[:n], got, err)
			}
			if got, _, err := wire.SplitNumber(body[:n]); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("SplitNumber(% x) = %d, %v, want ErrMalformed", body[:n], got, err)
			}
		}
		if got, err := wire.ParseNumber(append(body, 0)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("ParseNumber(% x 00) = %d, %v, want ErrMalformed", body, got, err)
		}
	}
	for _, body := range [][]byte{
		{0x80, 0x00}, {0xff, 0x80, 0x00}, // not the shortest form
		append(bytes.Repeat([]byte{0xff}, 9), 0x02), append(bytes.Repeat([]byte{0x80}, 10), 0x01), // above 64 bits
	} {
		if got, err := wire.ParseNumber(body); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("ParseNumber(% x) = %d, %v, want ErrMalformed", body, got, err)
		}
	}
}

// TestLaneFrameAllocations: one frame each way without a byte of garbage.
func TestLaneFrameAllocations(t *testing.T) {
	buf := make([]byte, 0, 1024)
	f := golden(t, "call")
	if n := testing.AllocsPerRun(100, func() {
		dst := wire.AppendHead(appendUvarint(wire.AppendLane(buf, wire.FrameCall), callID), 1, "greet/Greet", "json", 0, nil)
		wire.EndLane(append(dst, `"Ada"`...), 0)
		_, body, _, _, _ := wire.NextLane(f)
		_, rest, _ := wire.SplitNumber(body)
		_, _, _ = wire.ParseHead(rest)
	}); n != 0 {
		t.Errorf("a call's frame allocates %v times, want 0", n)
	}
}
