package kith_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kith-go/kith"
)

var errNotFound = kith.NewError(kith.NotFound, "unknown_name", "nobody of that name")

func TestErrorIs(t *testing.T) {
	remote := func(code kith.Code, reason string) error {
		return kith.RemoteError(code, reason, "some other text", []byte(`{}`), false)
	}
	for _, tt := range []struct {
		name        string
		err, target error
		want        bool
	}{
		{"itself", errNotFound, errNotFound, true},
		{"from the other side", remote(kith.NotFound, "unknown_name"), errNotFound, true},
		{"wrapped", fmt.Errorf("greet: %w", remote(kith.NotFound, "unknown_name")), errNotFound, true},
		{"joined", errors.Join(io.EOF, remote(kith.NotFound, "unknown_name")), errNotFound, true},
		{"with details", errNotFound.With(1), errNotFound, true},
		{"with another message", errNotFound.WithMessage("no %s", "Bob"), errNotFound, true},
		{"a refusal", errNotFound.Refusal(), errNotFound, true},
		{"other reason", remote(kith.NotFound, "unknown_room"), errNotFound, false},
		{"no reason", remote(kith.NotFound, ""), errNotFound, false},
		{"other code", remote(kith.Aborted, "unknown_name"), errNotFound, false},
		{"other type", errNotFound, io.EOF, false},
		{"canceled", remote(kith.Canceled, "x"), context.Canceled, true},
		{"canceled, not the deadline", remote(kith.Canceled, ""), context.DeadlineExceeded, false},
		{"deadline", kith.NewError(kith.DeadlineExceeded, "", ""), context.DeadlineExceeded, true},
		{"deadline, not canceled", kith.NewError(kith.DeadlineExceeded, "", ""), context.Canceled, false},
		{"neither", errNotFound, context.Canceled, false},
		{"the other way round", context.Canceled, kith.NewError(kith.Canceled, "", ""), false},
	} {
		if got := errors.Is(tt.err, tt.target); got != tt.want {
			t.Errorf("%s: errors.Is(%q, %q) = %t, want %t", tt.name, tt.err, tt.target, got, tt.want)
		}
	}
}

func TestErrorCopies(t *testing.T) {
	base := kith.NewError(kith.Aborted, "conflict", "try again")
	detailed := base.With(map[string]int{"n": 1})
	worded := detailed.WithMessage("row %d", 7)
	refusal := worded.Refusal()

	if base.RawDetails() != nil || base.Message() != "try again" || base.Unprocessed() {
		t.Errorf("after With, WithMessage, Refusal: %+v, want it unchanged", base)
	}
	for _, tt := range []struct {
		name    string
		err     *kith.Error
		message string
		details string
		refusal bool
	}{
		{"With", detailed, "try again", `{"n":1}`, false},
		{"WithMessage", worded, "row 7", `{"n":1}`, false},
		{"Refusal", refusal, "row 7", `{"n":1}`, true},
		{"Refusal, then With", refusal.With(2), "row 7", `2`, true},
		{"Refusal, then WithMessage", refusal.WithMessage("row 8"), "row 8", `{"n":1}`, true},
	} {
		e := tt.err
		if e.Code() != kith.Aborted || e.Reason() != "conflict" || e.Message() != tt.message ||
			string(e.RawDetails()) != tt.details || e.Unprocessed() != tt.refusal || kith.Remote(e) {
			t.Errorf("%s = %v, details %s, unprocessed %t, remote %t, want message %q, details %s, unprocessed %t",
				tt.name, e, e.RawDetails(), e.Unprocessed(), kith.Remote(e), tt.message, tt.details, tt.refusal)
		}
	}
}

// TestRemoteErrorAuthoredAgain: a copy of what the other side said is this
// program's own word, and nothing is known of its own handler.
func TestRemoteErrorAuthoredAgain(t *testing.T) {
	remote := kith.RemoteError(kith.Aborted, "r", "m", []byte(`1`), true)
	for name, e := range map[string]*kith.Error{"With": remote.With(1), "WithMessage": remote.WithMessage("m")} {
		if kith.Remote(e) || kith.Unprocessed(e) {
			t.Errorf("%s: Remote, Unprocessed = %t, %t, want false, false", name, kith.Remote(e), kith.Unprocessed(e))
		}
	}
	if e := remote.Refusal(); kith.Remote(e) || !kith.Unprocessed(e) {
		t.Errorf("Refusal: Remote, Unprocessed = %t, %t, want false, true", kith.Remote(e), kith.Unprocessed(e))
	}
	if !kith.Remote(remote) || !kith.Unprocessed(remote) {
		t.Error("the remote error changed")
	}
}

func TestErrorDetails(t *testing.T) {
	type info struct{ Row, Column int }
	e := errNotFound.With(info{3, 4})
	var got info
	if err := e.Details(&got); err != nil || got != (info{3, 4}) {
		t.Errorf("Details() = %v, %v, want {3 4}", got, err)
	}
	if err := errNotFound.Details(&got); err == nil {
		t.Error("Details() without details = nil, want an error")
	}
	var other []string
	if err := e.Details(&other); err == nil {
		t.Errorf("Details() into another type = %v, want an error", other)
	}
	for _, raw := range []string{"not JSON", "{", "\x00"} {
		if err := kith.RemoteError(kith.Aborted, "", "", []byte(raw), false).Details(&got); err == nil {
			t.Errorf("Details() of %q = nil, want an error", raw)
		}
	}
	wantPanic(t, "With(channel)", "Error.With", func() { e.With(make(chan int)) })
}

func TestNewErrorPanics(t *testing.T) {
	for _, c := range []kith.Code{kith.OK, 17, 1 << 31} {
		wantPanic(t, fmt.Sprintf("NewError(%v)", c), c.String(), func() { _ = kith.NewError(c, "", "") })
	}
	for _, c := range []kith.Code{kith.OK, 17, 1 << 31} {
		if e := kith.RemoteError(c, "", "", nil, false); e.Code() != kith.Unknown {
			t.Errorf("RemoteError(%v).Code() = %v, want Unknown", c, e.Code())
		}
	}
}

// wantPanic calls f, which must panic with a text that contains want.
func wantPanic(t *testing.T, call, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		text, ok := recover().(string)
		if !ok || !strings.HasPrefix(text, "kith: ") || !strings.Contains(text, want) {
			t.Errorf("%s panicked with %q, want a text with %q", call, text, want)
		}
	}()
	f()
}

func TestErrorText(t *testing.T) {
	remote := func(reason, message string) *kith.Error {
		return kith.RemoteError(kith.Aborted, reason, message, nil, false)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errNotFound, "NotFound: unknown_name: nobody of that name"},
		{kith.NewError(kith.Internal, "", ""), "Internal"},
		{kith.NewError(kith.Internal, "", "text"), "Internal: text"},
		{kith.NewError(kith.Internal, "two\nlines", ""), "Internal: two\nlines"},
		{remote("r", "plain text, with ümläuts"), "Aborted: r: plain text, with ümläuts"},
		{remote("r\n", "a\nb"), `Aborted: "r\n": "a\nb"`},
		{remote("", "esc \x1b[31m"), `Aborted: "esc \x1b[31m"`},
		{remote("", "nul \x00"), `Aborted: "nul \x00"`},
		{remote("", "c1 \u009b31m"), `Aborted: "c1 \u009b31m"`},
		{remote("", "raw c1 \x9b31m"), `Aborted: "raw c1 \x9b31m"`},
		{remote("", "line \u2028 separator"), `Aborted: "line \u2028 separator"`},
		{remote("", "\u202egnp.exe"), `Aborted: "\u202egnp.exe"`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
	if got := remote("", "a\nb").Message(); got != "a\nb" {
		t.Errorf("Message() = %q, want it as it came", got)
	}
}

// failure is an error of a client: it has a code and knows whether the call ran.
type failure struct {
	code        kith.Code
	unprocessed bool
	cause       error
}

func (f *failure) Error() string     { return "failure" }
func (f *failure) Unwrap() error     { return f.cause }
func (f *failure) Code() kith.Code   { return f.code }
func (f *failure) Unprocessed() bool { return f.unprocessed }

func TestRemoteUnprocessedCodeOf(t *testing.T) {
	remote := kith.RemoteError(kith.Aborted, "", "", nil, false)
	turnedAway := kith.RemoteError(kith.ResourceExhausted, "", "", nil, true)
	notSent := &failure{code: kith.Unavailable, unprocessed: true, cause: io.EOF}
	lost := &failure{code: kith.Unavailable, cause: io.ErrUnexpectedEOF}
	for _, tt := range []struct {
		name                string
		err                 error
		remote, unprocessed bool
		code                kith.Code
	}{
		{"nil", nil, false, false, kith.OK},
		{"plain", io.EOF, false, false, kith.Unknown},
		{"authored here", errNotFound, false, false, kith.NotFound},
		{"refused here", errNotFound.Refusal(), false, true, kith.NotFound},
		{"remote", remote, true, false, kith.Aborted},
		{"remote, wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", remote)), true, false, kith.Aborted},
		{"remote refusal", turnedAway, true, true, kith.ResourceExhausted},
		{"remote refusal, wrapped", fmt.Errorf("a: %w", turnedAway), true, true, kith.ResourceExhausted},
		{"not sent", notSent, false, true, kith.Unavailable},
		{"lost", lost, false, false, kith.Unavailable},
		{"canceled", fmt.Errorf("x: %w", context.Canceled), false, false, kith.Canceled},
		{"deadline", context.DeadlineExceeded, false, false, kith.DeadlineExceeded},
		{"outermost decides", &failure{code: kith.Internal, cause: turnedAway}, true, false, kith.Internal},

		{"joined with plain", errors.Join(io.EOF, turnedAway), true, true, kith.ResourceExhausted},
		{"joined, first code", errors.Join(lost, remote), true, false, kith.Unavailable},
		{"joined, a code before ctx", errors.Join(context.Canceled, remote), true, false, kith.Aborted},
		{"joined, none ran", errors.Join(notSent, turnedAway), true, true, kith.Unavailable},
		{"joined, one may have run", errors.Join(notSent, lost), false, false, kith.Unavailable},
		{"joined, one may have run, deeper", fmt.Errorf("%w; %w", notSent, fmt.Errorf("x: %w", lost)), false, false, kith.Unavailable},
		{"joined, nobody knows", errors.Join(io.EOF, io.ErrUnexpectedEOF), false, false, kith.Unknown},
	} {
		if got := kith.Remote(tt.err); got != tt.remote {
			t.Errorf("%s: Remote(%v) = %t, want %t", tt.name, tt.err, got, tt.remote)
		}
		if got := kith.Unprocessed(tt.err); got != tt.unprocessed {
			t.Errorf("%s: Unprocessed(%v) = %t, want %t", tt.name, tt.err, got, tt.unprocessed)
		}
		if got := kith.CodeOf(tt.err); got != tt.code {
			t.Errorf("%s: CodeOf(%v) = %v, want %v", tt.name, tt.err, got, tt.code)
		}
	}
}
