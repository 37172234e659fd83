package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

func TestFailTruncated(t *testing.T) {
	f := wire.Fail{
		Code: kith.NotFound, Reason: "r", Message: "m", Details: []byte("{}"), Unprocessed: true, Trailer: encoded,
	}
	p := f.Append(nil)
	for n := range len(p) {
		if got, err := wire.ParseFail(p[:n]); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("ParseFail(%d of %d bytes) = %+v, %v, want ErrMalformed", n, len(p), got, err)
		}
	}
	if got, err := wire.ParseFail(append(p, 0)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("ParseFail with a byte behind = %+v, %v, want ErrMalformed", got, err)
	}
}

func TestFailRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"code OK":        "\x00\x00\x00\x00",
		"reserved bit":   "\x08\x01\x00\x00",
		"all bits":       "\xff\x01\x00\x00",
		"long reason":    "\x00\x01\x81\x01" + strings.Repeat("r", 129) + "\x00",
		"long message":   "\x00\x01\x00\x81\x20" + strings.Repeat("m", wire.MaxErrorText+1),
		"long details":   "\x02\x01\x00\x00\x81\x20" + strings.Repeat("d", wire.MaxErrorText+1),
		"code of 65 bit": "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00\x00",
	} {
		if f, err := wire.ParseFail([]byte(p)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: ParseFail(%.40q) = %+v, %v, want ErrMalformed", name, p, f, err)
		}
	}
}

// TestFailOfUnknownCode: a later version may know more codes.
func TestFailOfUnknownCode(t *testing.T) {
	for _, p := range []string{
		"\x00\x11\x01r\x01m", "\x00\xff\xff\xff\xff\x0f\x01r\x01m", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01r\x01m",
	} {
		f, err := wire.ParseFail([]byte(p))
		if err != nil {
			t.Errorf("ParseFail(%q) = %v, want no error", p, err)
			continue
		}
		if e := f.Err(); e.Code() != kith.Unknown || e.Reason() != "r" || e.Message() != "m" || !kith.Remote(e) {
			t.Errorf("ParseFail(%q).Err() = %v, want Unknown: r: m", p, e)
		}
	}
}

func TestFailOf(t *testing.T) {
	long := strings.Repeat("m", wire.MaxErrorText)
	for _, tt := range []struct {
		name            string
		in              *kith.Error
		reason, message string
		details         string
	}{
		{"plain", kith.NewError(kith.Aborted, "r", "m"), "r", "m", ""},
		{"details", kith.NewError(kith.Aborted, "r", "m").With(1), "r", "m", "1"},
		{"longest", kith.NewError(kith.Aborted, long[:128], long), long[:128], long, ""},
		{"too long", kith.NewError(kith.Aborted, long[:129], long+"x"), long[:128], long, ""},
		{"cut between runes", kith.NewError(kith.Aborted, "", long[1:]+"ü"), "", long[1:], ""},
		{"not UTF-8", kith.NewError(kith.Aborted, "", strings.Repeat("\x80", wire.MaxErrorText+1)), "", "", ""},
		{"details too long", kith.NewError(kith.Aborted, "r", "m").With(long), "r", "m", ""},
	} {
		f := wire.FailOf(tt.in)
		if f.Code != kith.Aborted || f.Reason != tt.reason || f.Message != tt.message || string(f.Details) != tt.details ||
			f.Unprocessed || !utf8.ValidString(f.Message) {
			t.Errorf("%s: FailOf(%.40v) = %.40q, %.40q, %.40q, want %.40q, %.40q, %.40q",
				tt.name, tt.in, f.Reason, f.Message, f.Details, tt.reason, tt.message, tt.details)
		}
		if back, err := wire.ParseFail(f.Append(nil)); err != nil || !reflect.DeepEqual(back, f) {
			t.Errorf("%s: ParseFail(Append) = %.200v, %v, want what went in", tt.name, back, err)
		}
	}
	if f := wire.FailOf(kith.NewError(kith.Aborted, "", "").Refusal()); !f.Unprocessed || !f.Err().Unprocessed() {
		t.Errorf("FailOf(refusal) = %+v, want it unprocessed", f)
	}
}

// TestFailFits: the frame that ends a call has room for any error.
func TestFailFits(t *testing.T) {
	long := strings.Repeat("m", 2*wire.MaxErrorText)
	f := wire.FailOf(kith.NewError(kith.Unauthenticated, long, long).With(long[:wire.MaxErrorText-2]).Refusal())
	f.Trailer = make([]byte, wire.MaxMetadata)
	if n := len(f.Append(nil)); n > wire.MaxOpen {
		t.Errorf("Append makes %d bytes, want at most %d", n, wire.MaxOpen)
	}
}

// TestParseFailCopies: a frame's bytes are gone when the caller looks.
func TestParseFailCopies(t *testing.T) {
	in := wire.Fail{Code: kith.Aborted, Reason: "r", Message: "m", Details: []byte("1")}
	p := in.Append(nil)
	f, err := wire.ParseFail(p)
	clear(p)
	if err != nil || !reflect.DeepEqual(f, in) {
		t.Errorf("ParseFail = %+v, %v after its input changed, want %+v", f, err, in)
	}
}

func TestTrailer(t *testing.T) {
	p := wire.AppendTrailer([]byte("before"), encoded)
	trailer, rest, err := wire.ParseTrailer(append(p[6:], "message"...))
	if !bytes.Equal(trailer, encoded) || string(rest) != "message" || err != nil {
		t.Errorf("ParseTrailer = %q, %q, %v, want %q, message", trailer, rest, err, encoded)
	}
	for name, p := range map[string]string{
		"empty":       "",
		"cut short":   "\x05abcd",
		"huge length": "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"too long":    "\x81\x80\x01" + strings.Repeat("t", wire.MaxMetadata+1),
	} {
		if trailer, _, err := wire.ParseTrailer([]byte(p)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: ParseTrailer(%.40q) = %q, %v, want ErrMalformed", name, p, trailer, err)
		}
	}
}
