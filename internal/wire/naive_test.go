package wire_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/tcp"
)

// The tests here hold docs/wire.md against the code: a second implementation
// of the client's side, which shares nothing with the first but the document,
// talks to a real server over TCP.

const naivePreface = "KITHMUX\x01"

type naivePerson struct{ Name string }

var (
	naiveEchoMethod  = kith.Unary[[]byte, []byte]("naive/Echo")
	naiveGreetMethod = kith.Unary[naivePerson, string]("naive/Greet")
	naiveFillMethod  = kith.Unary[int, []byte]("naive/Fill")
	naiveHangMethod  = kith.Unary[string, string]("naive/Hang")
	naiveFailMethod  = kith.Unary[int, []byte]("naive/Fail")
	naiveLogMethod   = kith.Notify[string]("naive/Log")
	naiveCountMethod = kith.ServerStream[int, int]("naive/Count")
	naiveSumMethod   = kith.ClientStream[int, int]("naive/Sum")
	naiveChatMethod  = kith.Bidi[string, string]("naive/Chat")

	errNaive = kith.NewError(kith.NotFound, "unknown_name", "nobody of that name")
)

// A naiveServer is a real server, and what its handlers tell the test.
type naiveServer struct {
	*server.Server
	addr    string
	log     chan string   // what Log was called with
	hanging chan string   // Hang began, or a stream was opened
	ended   chan error    // their ctx's error
	release chan struct{} // lets Hang return
}

func newNaiveServer(t *testing.T, policy admit.Policy) *naiveServer {
	t.Helper()
	s := &naiveServer{
		log: make(chan string, 16), hanging: make(chan string, 16),
		ended: make(chan error, 16), release: make(chan struct{}),
	}
	var err error
	if s.Server, err = server.New(server.Config{Handlers: s.handlers(), Admit: policy}); err != nil {
		t.Fatal(err)
	}
	tr := tcp.New(tcp.Config{Plaintext: true})
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().Host
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }() // ends with Close, and is waited for below
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve = %v, want %v", err, server.ErrClosed)
		}
		_ = tr.Close()
		goleak.VerifyNone(t)
	})
	return s
}

func (s *naiveServer) handlers() *kith.Handlers {
	var h kith.Handlers
	naiveEchoMethod.Handle(&h, func(ctx context.Context, p []byte) ([]byte, error) {
		return p, kith.SetTrailer(ctx, kith.MetadataFrom(ctx))
	})
	naiveGreetMethod.Handle(&h, func(ctx context.Context, p naivePerson) (string, error) {
		switch p.Name {
		case "":
			if err := kith.SetTrailer(ctx, kith.Metadata{"who": "nobody"}); err != nil {
				return "", err
			}
			return "", errNaive.With(p)
		case "secret":
			return "", errors.New("a secret")
		}
		return "Hello, " + p.Name + "!", nil
	})
	naiveFillMethod.Handle(&h, func(_ context.Context, n int) ([]byte, error) {
		return bytes.Repeat([]byte{'x'}, n), nil
	})
	naiveFailMethod.Handle(&h, func(ctx context.Context, n int) ([]byte, error) {
		if err := kith.SetTrailer(ctx, kith.Metadata{"fill": strings.Repeat("x", n)}); err != nil {
			return nil, err
		}
		return nil, errNaive
	})
	naiveHangMethod.Handle(&h, s.hang)
	naiveLogMethod.Handle(&h, func(_ context.Context, line string) error { s.log <- line; return nil })
	naiveCountMethod.Handle(&h, func(ctx context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if n < 0 {
				_, err := s.hang(ctx, "count")
				yield(0, err)
				return
			}
			for i := 0; i < n && yield(i, nil); i++ {
			}
		}
	})
	naiveSumMethod.Handle(&h, func(_ context.Context, in iter.Seq2[int, error]) (sum int, err error) {
		for n, err := range in {
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
	naiveChatMethod.Handle(&h, func(_ context.Context, d *kith.Duplex[string, string]) error {
		for word, err := range d.All() {
			if err != nil {
				return err
			}
			if word == "bye" {
				return errNaive
			}
			if err := d.Send(strings.ToUpper(word)); err != nil {
				return err
			}
		}
		return nil
	})
	return &h
}

func (s *naiveServer) hang(ctx context.Context, what string) (string, error) {
	s.hanging <- what
	select {
	case <-ctx.Done():
		s.ended <- ctx.Err()
		return "", ctx.Err()
	case <-s.release:
		return "released", nil
	}
}

// dial returns a client that sent its hello.
func (s *naiveServer) dial(t *testing.T, version uint64) *naiveClient {
	t.Helper()
	c := &naiveClient{
		naiveMux: naiveDial(t, s.addr, naivePreface),
		open:     make(map[uint64]bool), outcomes: make(map[uint64]naiveOutcome),
	}
	c.hello(version)
	c.readPreface()
	return c
}

// connect returns a client that was let in.
func (s *naiveServer) connect(t *testing.T) *naiveClient {
	t.Helper()
	c := s.dial(t, 1)
	c.welcome()
	t.Cleanup(func() {
		if len(c.open) > 0 {
			t.Errorf("calls %v are open at the end", c.open)
		}
	})
	return c
}

func naiveMethod(kind byte, name string, codec byte) naiveHead {
	return naiveHead{kind: kind, method: "naive/" + name, codec: codec, left: -1}
}

// wantAnswer checks an outcome that is an answer.
func wantAnswer(t *testing.T, what string, o naiveOutcome, want string) {
	t.Helper()
	if o.code != 0 || string(o.answer) != want {
		t.Errorf("%s = %.80q, code %d %q %q, want %.80q", what, o.answer, o.code, o.reason, o.message, want)
	}
}

// wantError checks an outcome that is an error.
func wantError(t *testing.T, what string, o naiveOutcome, code uint64, reason string, unprocessed bool) {
	t.Helper()
	if len(o.answer) > 0 {
		t.Errorf("%s = an error and %q beside it, want no message", what, o.answer)
	}
	if o.code != code || o.reason != reason || o.unprocessed != unprocessed {
		t.Errorf("%s = code %d %q %q, unprocessed %v, want code %d %q, unprocessed %v",
			what, o.code, o.reason, o.message, o.unprocessed, code, reason, unprocessed)
	}
}

func wantMessages(t *testing.T, what string, got [][]byte, want ...string) {
	t.Helper()
	var text []string
	for _, p := range got {
		text = append(text, string(p))
	}
	if !slices.Equal(text, want) {
		t.Errorf("%s sends %q, want %q", what, text, want)
	}
}

func TestNaiveUnary(t *testing.T) {
	c := newNaiveServer(t, admit.Anyone()).connect(t)
	// All at once: their outcomes come in any order.
	md := map[string]string{"a": "1", "trace": "x y"}
	echo := naiveMethod(naiveUnary, "Echo", naiveRaw)
	echo.md = md
	raw := c.call(echo, "\x00\xff")
	empty := c.call(naiveMethod(naiveUnary, "Echo", naiveRaw), "")
	greet := c.call(naiveMethod(naiveUnary, "Greet", naiveJSON), `{"Name":"Ada"}`)
	nobody := c.call(naiveMethod(naiveUnary, "Greet", naiveJSON), `{}`)
	secret := c.call(naiveMethod(naiveUnary, "Greet", naiveJSON), `{"Name":"secret"}`)
	unknown := c.call(naiveMethod(naiveUnary, "Missing", naiveRaw), "")
	kind := c.call(naiveMethod(naiveNotify, "Echo", naiveRaw), "")
	codec := naiveMethod(naiveUnary, "Greet", naiveNamed)
	codec.named = "cbor"
	cbor := c.call(codec, "\xa0")
	note := c.call(naiveMethod(naiveNotify, "Log", naiveJSON), `"line"`)
	late := naiveMethod(naiveUnary, "Hang", naiveJSON)
	late.left = 1000
	hang := c.call(late, `"late"`)

	o := c.outcome(raw)
	wantAnswer(t, "Echo", o, "\x00\xff")
	if !maps.Equal(o.trailer, md) {
		t.Errorf("Echo has the trailer %v, want %v", o.trailer, md)
	}
	wantAnswer(t, "Echo of nothing", c.outcome(empty), "")
	wantAnswer(t, "Greet", c.outcome(greet), `"Hello, Ada!"`)
	o = c.outcome(nobody)
	wantError(t, "Greet of nobody", o, 5, "unknown_name", false)
	if o.message != "nobody of that name" || string(o.details) != `{"Name":""}` || o.trailer["who"] != "nobody" {
		t.Errorf("Greet of nobody = %q, details %s, trailer %v", o.message, o.details, o.trailer)
	}
	o = c.outcome(secret)
	wantError(t, "Greet that fails", o, 13, "", false)
	if strings.Contains(o.message, "secret") {
		t.Errorf("Greet that fails = %q, which leaves the process", o.message)
	}
	wantError(t, "Missing", c.outcome(unknown), 12, "unknown_method", true)
	wantError(t, "Echo as another kind", c.outcome(kind), 12, "wrong_kind", true)
	o = c.outcome(cbor)
	wantError(t, "Greet in cbor", o, 12, "unknown_codec", true)
	if !strings.Contains(o.message, "json") {
		t.Errorf("Greet in cbor = %q, want one that says which codecs there are", o.message)
	}
	wantAnswer(t, "Log", c.outcome(note), "")
	wantError(t, "Hang with a deadline", c.outcome(hang), 4, "", false)
	c.close(0)
}

// Answers that do not fit the lane come on streams, more of them than may be
// open at once, and of more bytes than there is credit for at first.
func TestNaiveLargeAnswers(t *testing.T) {
	c := newNaiveServer(t, admit.Anyone()).connect(t)
	const calls, size = 100, 20_000
	var ids []uint64
	for range calls {
		ids = append(ids, c.call(naiveMethod(naiveUnary, "Fill", naiveJSON), strconv.Itoa(size)))
	}
	for _, id := range ids {
		wantAnswer(t, "Fill", c.outcome(id), strings.Repeat("x", size))
	}
	// A trailer can be what makes an outcome too large.
	o := c.outcome(c.call(naiveMethod(naiveUnary, "Fail", naiveJSON), "16370"))
	wantError(t, "Fail", o, 5, "unknown_name", false)
	if n := len(o.trailer["fill"]); n != 16370 {
		t.Errorf("Fail has %d bytes in its trailer, want 16370", n)
	}
	if c.theirs != calls+1 {
		t.Errorf("%d reply streams came, want %d", c.theirs, calls+1)
	}
	// A large call takes a stream of the caller's.
	huge := strings.Repeat("0123456789abcdef", 64<<10)
	s, _ := c.stream(naiveMethod(naiveUnary, "Echo", naiveRaw), true, huge)
	messages, o := s.rest()
	wantAnswer(t, "Echo on a stream", o, "")
	wantMessages(t, "Echo on a stream", messages, huge)
	c.close(0)
}

// What one client is answered must not be in what another one gets.
func TestNaiveNothingOfOthers(t *testing.T) {
	s := newNaiveServer(t, admit.Anyone())
	a, b := s.connect(t), s.connect(t)
	for range 20 {
		a.outcome(a.call(naiveMethod(naiveUnary, "Echo", naiveRaw), "for a alone"))
		wantAnswer(t, "Log", b.outcome(b.call(naiveMethod(naiveNotify, "Log", naiveJSON), `"line"`)), "")
		<-s.log
		o := b.outcome(b.call(naiveMethod(naiveUnary, "Fail", naiveJSON), "16370"))
		wantError(t, "Fail", o, 5, "unknown_name", false)
	}
	a.close(0)
	b.close(0)
}

func TestNaiveStreams(t *testing.T) {
	c := newNaiveServer(t, admit.Anyone()).connect(t)
	count, _ := c.stream(naiveMethod(naiveServerStream, "Count", naiveJSON), true, "3")
	sum, _ := c.stream(naiveMethod(naiveClientStream, "Sum", naiveJSON), false)
	chat, _ := c.stream(naiveMethod(naiveBidi, "Chat", naiveJSON), false)

	messages, o := count.rest()
	wantAnswer(t, "Count", o, "")
	wantMessages(t, "Count", messages, "0", "1", "2")

	for _, word := range []string{"a", "b"} {
		chat.message(`"` + word + `"`)
		if typ, b := chat.next(); typ != naiveSMESSAGE || string(b.b) != `"`+strings.ToUpper(word)+`"` {
			t.Errorf("Chat of %q = frame %d, %q", word, typ, b.b)
		}
	}
	for _, n := range []string{"1", "20", "300"} {
		sum.message(n)
	}
	sum.write(nil, true)
	messages, o = sum.rest()
	wantAnswer(t, "Sum", o, "")
	wantMessages(t, "Sum", messages, "321")

	// The callee may end a call while the caller still sends.
	chat.message(`"bye"`)
	messages, o = chat.rest()
	wantMessages(t, "Chat after bye", messages)
	wantError(t, "Chat", o, 5, "unknown_name", false)
	chat.write(nil, true)

	note, _ := c.stream(naiveMethod(naiveNotify, "Log", naiveJSON), true, `"line"`)
	messages, o = note.rest()
	wantMessages(t, "Log", messages)
	wantAnswer(t, "Log", o, "")

	unknown, _ := c.stream(naiveMethod(naiveBidi, "Missing", naiveJSON), true)
	_, o = unknown.rest()
	wantError(t, "Missing", o, 12, "unknown_method", true)
	c.close(0)
}
