package wire_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// golden returns the bytes in testdata/name.hex, which are hexadecimal digits
// and white space.
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

// callID is a lane call's id: the fifth call, in slot 3.
const callID = 5<<wire.SlotBits | 3

var (
	metadata = kith.Metadata{"who": "x", "trace": "abc"}
	encoded  = func() []byte {
		p, err := wire.AppendMetadata(nil, metadata)
		if err != nil {
			panic(err)
		}
		return p
	}()
	hello = wire.Hello{
		Version: 1, Instance: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, LaneCalls: 8192, MaxMessage: 4 << 20,
		PingFloor: time.Second,
	}
	withProof = func() wire.Hello {
		h := hello
		h.Proof = []byte("proof")
		return h
	}()
	ofPeer = func() wire.Hello {
		h := hello
		h.Attempt, h.Eager = 300, true
		h.Holds = []wire.Held{{Mine: true, Attempt: 299}, {Attempt: 7}}
		return h
	}()
	welcome = wire.Hello{Version: 1, Instance: hello.Instance, LaneCalls: 128, MaxMessage: -1}
)

// A call is what CALL and OPEN carry, an answer what ANSWER does.
type (
	call struct {
		id   uint64
		head wire.Head
		msg  string
	}
	answer struct {
		id           uint64
		trailer, msg string
	}
	fail struct {
		id uint64
		wire.Fail
	}
)

// A frame is a golden one, and what it says.
type frame struct {
	file   string
	typ    wire.FrameType
	value  any
	encode func(dst []byte, v any) []byte // appends the body; nil if it is only read
	decode func(body []byte) (any, error)
}

func appendHello(dst []byte, v any) []byte {
	h := v.(wire.Hello)
	return h.Append(dst)
}

func parseHello(body []byte) (any, error) { return wire.ParseHello(body) }

func appendCall(dst []byte, v any) []byte {
	c := v.(call)
	dst = wire.AppendHead(appendUvarint(dst, c.id), c.head.Kind, string(c.head.Method), string(c.head.Codec), c.head.Timeout, c.head.Metadata)
	return append(dst, c.msg...)
}

func parseCall(body []byte) (any, error) {
	id, rest, err := wire.SplitNumber(body)
	if err != nil {
		return nil, err
	}
	h, msg, err := wire.ParseHead(rest)
	return call{id, h, string(msg)}, err
}

func appendAnswer(dst []byte, v any) []byte {
	a := v.(answer)
	return append(wire.AppendTrailer(appendUvarint(dst, a.id), []byte(a.trailer)), a.msg...)
}

func parseAnswer(body []byte) (any, error) {
	id, rest, err := wire.SplitNumber(body)
	if err != nil {
		return nil, err
	}
	trailer, msg, err := wire.ParseTrailer(rest)
	return answer{id, string(trailer), string(msg)}, err
}

func appendFail(dst []byte, v any) []byte {
	f := v.(fail)
	return f.Append(appendUvarint(dst, f.id))
}

func parseFail(body []byte) (any, error) {
	id, rest, err := wire.SplitNumber(body)
	if err != nil {
		return nil, err
	}
	f, err := wire.ParseFail(rest)
	return fail{id, f}, err
}

func appendNumber(dst []byte, v any) []byte { return appendUvarint(dst, v.(uint64)) }

func parseNumber(body []byte) (any, error) { return wire.ParseNumber(body) }

func appendText(dst []byte, v any) []byte { return append(dst, v.(string)...) }

func parseText(body []byte) (any, error) { return string(body), nil }

func appendUvarint(dst []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// head makes a Head without deadline and metadata.
func head(kind kith.Kind, method, codec string) wire.Head {
	return wire.Head{Kind: kind, Method: []byte(method), Codec: []byte(codec)}
}

// full adds a deadline and metadata to a Head.
func full(h wire.Head, timeout time.Duration) wire.Head {
	h.Timeout, h.Metadata = timeout, encoded
	return h
}

var laneFrames = []frame{
	{"hello-v1", wire.FrameHello, withProof, appendHello, parseHello},
	{"hello-v1-least", wire.FrameHello, wire.Hello{Version: 1, MaxMessage: -1}, nil, parseHello},
	{"hello-later", wire.FrameHello, hello, nil, parseHello},
	{"hello-peer", wire.FrameHello, ofPeer, appendHello, parseHello},
	{"welcome-peer", wire.FrameWelcome, wire.Hello{Version: 1, MaxMessage: -1, Attempt: 8}, appendHello, parseHello},
	{"welcome-v1", wire.FrameWelcome, welcome, appendHello, parseHello},
	{
		"refuse-v1", wire.FrameRefuse,
		wire.Fail{Code: kith.PermissionDenied, Reason: "not_admitted", Message: "this identity is not admitted here", Unprocessed: true},
		func(dst []byte, v any) []byte { f := v.(wire.Fail); return f.Append(dst) },
		func(body []byte) (any, error) { return wire.ParseFail(body) },
	},
	{"call", wire.FrameCall, call{callID, head(kith.KindUnary, "greet/Greet", "json"), `"Ada"`}, appendCall, parseCall},
	{"call-raw", wire.FrameCall, call{callID, head(kith.KindUnary, "raw/Copy", "raw"), "\x00\xff"}, appendCall, parseCall},
	{
		"call-full", wire.FrameCall,
		call{callID, full(head(kith.KindUnary, "greet/Greet", "cbor"), 1500*time.Millisecond), "\x63Ada"},
		appendCall, parseCall,
	},
	{"call-notify", wire.FrameCall, call{1 << wire.SlotBits, head(kith.KindNotify, "log/Line", "json"), `"x"`}, appendCall, parseCall},
	{"answer", wire.FrameAnswer, answer{callID, "", `"hello Ada"`}, appendAnswer, parseAnswer},
	{"answer-trailer", wire.FrameAnswer, answer{callID, string(encoded), `"hello Ada"`}, appendAnswer, parseAnswer},
	{
		"fail", wire.FrameFail,
		fail{callID, wire.Fail{Code: kith.Internal, Message: "internal error (call 01020304-a003)"}},
		appendFail, parseFail,
	},
	{
		"fail-full", wire.FrameFail,
		fail{callID, wire.Fail{
			Code: kith.NotFound, Reason: "unknown_name", Message: "nobody of that name",
			Details: []byte(`{"n":1}`), Unprocessed: true, Trailer: encoded,
		}},
		appendFail, parseFail,
	},
	{"cancel", wire.FrameCancel, uint64(callID), appendNumber, parseNumber},
	{"cancel-stream", wire.FrameCancelStream, uint64(300), appendNumber, parseNumber},
	{"ping", wire.FramePing, "\x00\x00\x00\x00\x00\x00\x01\x02", appendText, parseText},
	{"pong", wire.FramePong, "\x00\x00\x00\x00\x00\x00\x01\x02", appendText, parseText},
	{"drain", wire.FrameDrain, "", appendText, parseText},
	{"drain-ack", wire.FrameDrainAck, uint64(300), appendNumber, parseNumber},
	{"done", wire.FrameDone, "", appendText, parseText},
}

var streamFrames = []frame{
	{"stream-open", wire.StreamOpen, call{300, head(kith.KindServerStream, "greet/Count", "json"), ""}, appendCall, parseCall},
	{
		"stream-open-full", wire.StreamOpen,
		call{0, full(head(kith.KindBidi, "greet/Chat", "json"), 2*time.Second), ""},
		appendCall, parseCall,
	},
	{"stream-reply", wire.StreamReply, uint64(callID), appendNumber, parseNumber},
	{"stream-message", wire.StreamMessage, `"Ada"`, appendText, parseText},
	{"stream-message-empty", wire.StreamMessage, "", appendText, parseText},
	{"stream-end", wire.StreamEnd, "", appendTrailer, parseTrailer},
	{"stream-end-trailer", wire.StreamEnd, string(encoded), appendTrailer, parseTrailer},
	{
		"stream-fail", wire.StreamFail,
		wire.Fail{Code: kith.ResourceExhausted, Reason: "too_many_calls", Message: "too many calls in flight here", Unprocessed: true},
		func(dst []byte, v any) []byte { f := v.(wire.Fail); return f.Append(dst) },
		func(body []byte) (any, error) { return wire.ParseFail(body) },
	},
}

func appendTrailer(dst []byte, v any) []byte { return wire.AppendTrailer(dst, []byte(v.(string))) }

func parseTrailer(body []byte) (any, error) {
	trailer, _, err := wire.ParseTrailer(body)
	return string(trailer), err
}

// TestLaneFrames holds encoding and decoding to the golden bytes: they are
// what other implementations and older releases send and read.
func TestLaneFrames(t *testing.T) {
	for _, f := range laneFrames {
		want := golden(t, f.file)
		if f.encode != nil {
			if got := wire.EndLane(f.encode(wire.AppendLane([]byte("before"), f.typ), f.value), 6); string(got) != "before"+string(want) {
				t.Errorf("%s: encode(%+v) = % x, want % x", f.file, f.value, got[6:], want)
			}
		}
		if n, ok := f.value.(uint64); ok {
			if got := wire.AppendNumber([]byte("before"), f.typ, n); string(got) != "before"+string(want) {
				t.Errorf("%s: AppendNumber(%d) = % x, want % x", f.file, n, got[6:], want)
			}
		}
		typ, body, n, need, err := wire.NextLane(append(bytes.Clone(want), "next frame"...))
		if typ != f.typ || n != len(want) || need != 0 || err != nil {
			t.Errorf("%s: NextLane = type %d, n %d, need %d, %v, want type %d, n %d", f.file, typ, n, need, err, f.typ, len(want))
			continue
		}
		checkBody(t, f, body)
	}
}

func TestStreamFrames(t *testing.T) {
	for _, f := range streamFrames {
		want := golden(t, f.file)
		if got := wire.EndStream(f.encode(wire.AppendStream([]byte("before"), f.typ), f.value), 6); string(got) != "before"+string(want) {
			t.Errorf("%s: encode(%+v) = % x, want % x", f.file, f.value, got[6:], want)
		}
		var h [wire.StreamHeader]byte
		copy(h[:], want)
		body := want[wire.StreamHeader:]
		if typ, size := wire.ParseStream(&h); typ != f.typ || int(size) != len(body) {
			t.Errorf("%s: ParseStream(% x) = type %d, %d bytes, want %d, %d", f.file, h, typ, size, f.typ, len(body))
		}
		var put [wire.StreamHeader]byte
		if wire.PutStream(&put, f.typ, len(body)); put != h {
			t.Errorf("%s: PutStream(%d, %d) = % x, want % x", f.file, f.typ, len(body), put, h)
		}
		checkBody(t, f, body)
	}
}

func checkBody(t *testing.T, f frame, body []byte) {
	t.Helper()
	got, err := f.decode(body)
	if err != nil || !reflect.DeepEqual(got, f.value) {
		t.Errorf("%s: decode(% x) = %+v, %v, want %+v", f.file, body, got, err, f.value)
	}
}

// TestEveryGoldenFileIsUsed finds forgotten files.
func TestEveryGoldenFileIsUsed(t *testing.T) {
	used := make(map[string]bool)
	for _, f := range append(laneFrames, streamFrames...) {
		used[f.file] = true
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) != len(used) {
		t.Errorf("testdata has %d files, %v, want %d", len(files), err, len(used))
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".hex"); !used[name] {
			t.Errorf("%s is not in laneFrames or streamFrames", file)
		}
	}
}
