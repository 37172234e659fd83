package kith_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kith-go/kith"
)

type person struct{ Name string }

var (
	methodGreet = kith.Unary[person, string]("greet/Greet")
	methodCopy  = kith.Unary[[]byte, []byte]("raw/Copy")
	methodLog   = kith.Notify[string]("log/Line")
)

func TestUnary(t *testing.T) {
	var h kith.Handlers
	methodGreet.Handle(&h, func(_ context.Context, n person) (string, error) {
		if n.Name == "" {
			return "", errNotFound.With(n)
		}
		return "hello " + n.Name, nil
	})
	c := &loop{handlers: &h}
	if got, err := methodGreet.Call(t.Context(), c, person{"Ada"}); got != "hello Ada" || err != nil {
		t.Errorf("Call(Ada) = %q, %v, want %q", got, err, "hello Ada")
	}
	r := c.lastRequest()
	if r.Method != &methodGreet.Method || r.Codec != kith.JSON || string(r.Body) != `{"Name":"Ada"}` ||
		r.Metadata != nil || r.Trailer != nil || r.WaitForReady {
		t.Errorf("Call made the request %+v, want JSON and nothing else", r)
	}
	got, err := methodGreet.Call(t.Context(), c, person{})
	if got != "" || !errors.Is(err, errNotFound) || !kith.Remote(err) {
		t.Errorf("Call(nobody) = %q, %v, want a remote %v", got, err, errNotFound)
	}
	if _, err := methodCopy.Call(t.Context(), c, nil); kith.CodeOf(err) != kith.Unimplemented {
		t.Errorf("Call of another method = %v, want Unimplemented", err)
	}
}

func TestUnaryDecodeErrors(t *testing.T) {
	ran := false
	var h kith.Handlers
	methodGreet.Handle(&h, func(context.Context, person) (string, error) {
		ran = true
		return "", nil
	})
	c := &loop{handlers: &h}

	// The request does not decode: the caller is told that it was wrong.
	_, run, _ := h.Lookup([]byte("greet/Greet"))
	err := run(t.Context(), kith.Call{Method: &methodGreet.Method, Codec: kith.JSON, Messages: &unaryMessages{req: []byte(`{"Name":7}`)}})
	var e *kith.Error
	if ran || !errors.As(err, &e) || e.Code() != kith.InvalidArgument || e.Reason() != "decode" || kith.Remote(err) ||
		!strings.Contains(e.Message(), "json") {
		t.Errorf("handler of a bad request = %v, ran %t, want an authored InvalidArgument", err, ran)
	}
	// There is none.
	err = run(t.Context(), kith.Call{Method: &methodGreet.Method, Codec: kith.JSON, Messages: &unaryMessages{received: true}})
	if ran || !errors.As(err, &e) || e.Code() != kith.InvalidArgument || e.Reason() != "no_request" {
		t.Errorf("handler without a request = %v, ran %t, want an authored InvalidArgument", err, ran)
	}
	// The answer does not decode: that is nobody's authored error.
	_, err = kith.Unary[string, int]("greet/Greet").Call(t.Context(), echo{}, "text")
	var d *kith.DecodeError
	if !errors.As(err, &d) || d.Codec != "json" || d.Err == nil || kith.CodeOf(err) != kith.InvalidArgument ||
		kith.Remote(err) || errors.As(err, &e) {
		t.Errorf("Call with an answer of another type = %v, want a DecodeError", err)
	}
	if !errors.Is(err, d.Err) || !strings.Contains(err.Error(), "decode json message") {
		t.Errorf("DecodeError = %v, want one that wraps %v", err, d.Err)
	}
	// The request does not encode: nothing is sent.
	_, err = kith.Unary[chan int, int]("greet/Greet").Call(t.Context(), c, nil)
	if err == nil || !strings.Contains(err.Error(), "encode *chan int as json") || c.lastRequest().Method != nil {
		t.Errorf("Call(channel) = %v, request %+v, want an error and no request", err, c.lastRequest())
	}
}

// TestRawIsNotCopied: messages of type []byte pass as they are, both ways.
func TestRawIsNotCopied(t *testing.T) {
	body := []byte("a message")
	var seen []byte
	var h kith.Handlers
	methodCopy.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) {
		seen = p
		return p, nil
	})
	c := &loop{handlers: &h}
	got, err := methodCopy.Call(t.Context(), c, body)
	if err != nil {
		t.Fatalf("Call(%q) = %v, want no error", body, err)
	}
	for where, p := range map[string][]byte{"request": c.lastRequest().Body, "handler's": seen, "answer": got} {
		if string(p) != string(body) || &p[0] != &body[0] {
			t.Errorf("%s = %q at %p, want %q at %p", where, p, p, body, body)
		}
	}
	if c.lastRequest().Codec != kith.Raw {
		t.Errorf("codec = %s, want raw", c.lastRequest().Codec.Name())
	}
	for _, p := range [][]byte{nil, {}} {
		if got, err := methodCopy.Call(t.Context(), c, p); len(got) != 0 || err != nil {
			t.Errorf("Call(%v) = %q, %v, want an empty answer", p, got, err)
		}
	}
}

// TestAnyIsNotRaw: whether messages are raw follows from their type, which
// both sides share, not from the value at hand.
func TestAnyIsNotRaw(t *testing.T) {
	m := kith.Unary[any, any]("any/Any")
	var h kith.Handlers
	m.Handle(&h, func(_ context.Context, v any) (any, error) {
		if v != "AQI=" {
			t.Errorf("the handler got %#v, want the base64 text %q", v, "AQI=")
		}
		return []byte{3}, nil
	})
	got, err := m.Call(t.Context(), &loop{handlers: &h}, []byte{1, 2})
	if got != "Aw==" || err != nil {
		t.Errorf("Call([]byte{1, 2}) = %#v, %v, want %q", got, err, "Aw==")
	}

	type named []byte
	n := kith.Unary[named, named]("any/Named")
	if got, err := n.Call(t.Context(), echo{}, named{1}); string(got) != "\x01" || err != nil || n.Codec() != kith.JSON {
		t.Errorf("Call(named{1}) = %q, %v with codec %s, want the same with json", got, err, n.Codec().Name())
	}
}

func TestNotify(t *testing.T) {
	var got []string
	var h kith.Handlers
	methodLog.Handle(&h, func(_ context.Context, line string) error {
		got = append(got, line)
		return nil
	})
	c := &loop{handlers: &h}
	if err := methodLog.Call(t.Context(), c, "one"); err != nil || len(got) != 1 || got[0] != "one" {
		t.Errorf("Call(one) = %v, handled %q, want one", err, got)
	}
	if err := methodLog.Call(t.Context(), c, "two", kith.WithCodec(hexCodec{})); err != nil || len(got) != 2 || got[1] != "two" {
		t.Errorf("Call(two, hex) = %v, handled %q, want one, two", err, got)
	}
	if r := c.lastRequest(); string(r.Body) != "74776f" || r.Method.Kind() != kith.KindNotify {
		t.Errorf("Call(two, hex) made the request %v %q, want a notification of 74776f", r.Method.Kind(), r.Body)
	}
	_, run, _ := h.Lookup([]byte("log/Line"))
	err := run(t.Context(), kith.Call{Codec: kith.JSON, Messages: &unaryMessages{req: []byte("{")}})
	if kith.CodeOf(err) != kith.InvalidArgument {
		t.Errorf("handler of a bad notification = %v, want InvalidArgument", err)
	}
}

func TestUnaryAllocations(t *testing.T) {
	ctx, body := t.Context(), []byte("a message")
	for _, tt := range []struct {
		name string
		want float64
		f    func()
	}{
		{"raw call", 0, func() { _, _ = methodCopy.Call(ctx, echo{}, body) }},
		{"raw notification", 0, func() { _ = methodRawLog.Call(ctx, echo{}, body) }},
		{"raw handler", 0, func() { _ = rawHandler(ctx, rawCall) }},
	} {
		if got := testing.AllocsPerRun(100, tt.f); got != tt.want {
			t.Errorf("%s allocates %v times, want %v", tt.name, got, tt.want)
		}
	}
}

var (
	methodRawLog = kith.Notify[[]byte]("raw/Notify")

	rawHandler, rawCall = func() (kith.Handler, kith.Call) {
		var h kith.Handlers
		methodCopy.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
		_, run, _ := h.Lookup([]byte("raw/Copy"))
		return run, kith.Call{Method: &methodCopy.Method, Codec: kith.Raw, Messages: endless{}}
	}()
)

// endless always has another message.
type endless struct{}

var endlessMessage = []byte("again")

func (endless) Recv() ([]byte, error) { return endlessMessage, nil }
func (endless) Send([]byte) error     { return nil }
func (endless) CloseSend() error      { return nil }
