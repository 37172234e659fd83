package kith

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Error is an error that a program means its callers to see: nothing else
// leaves the process as the outcome of a call. Declare it once, with
// [NewError], in the package that holds the contract; both sides compare with
// errors.Is, which looks at Code and Reason. It is immutable.
//
// An Error that came from the other side is marked (see [Remote]). A handler
// that returns one unchanged does not pass it on: its own caller sees
// [Internal], as the text was not meant for it. Author a new one instead.
type Error struct {
	code        Code
	reason      string
	message     string
	details     []byte // JSON, nil for none
	remote      bool
	unprocessed bool
}

// NewError makes an Error. Reason is a short constant for programs
// ("unknown_name"), message a sentence for people; either may be empty. It
// panics if code is [OK] or has no name.
func NewError(code Code, reason, message string) *Error {
	if code == OK || !code.Known() {
		panic("kith: NewError with " + code.String())
	}
	return &Error{code: code, reason: reason, message: message}
}

// RemoteError makes the Error that a [Caller] returns for what the other side
// answered; unprocessed says that the handler provably never ran. It is for
// those who implement a Caller. It keeps details, which must be JSON or empty.
func RemoteError(code Code, reason, message string, details []byte, unprocessed bool) *Error {
	if code == OK || !code.Known() {
		code = Unknown
	}
	return &Error{code: code, reason: reason, message: message, details: details, remote: true, unprocessed: unprocessed}
}

// Code returns the class of the error.
func (e *Error) Code() Code { return e.code }

// Reason returns the constant that tells errors of one Code apart.
func (e *Error) Reason() string { return e.reason }

// Message returns the text for people. If the error is [Remote], it is text
// from outside: quote it in logs.
func (e *Error) Message() string { return e.message }

// With returns a copy of e that carries details, encoded as JSON. It panics
// if details cannot be encoded.
func (e *Error) With(details any) *Error {
	data, err := json.Marshal(details)
	if err != nil {
		panic("kith: Error.With: " + err.Error())
	}
	c := e.authored()
	c.details = data
	return c
}

// WithMessage returns a copy of e with another message, formatted as by
// [fmt.Sprintf].
func (e *Error) WithMessage(format string, args ...any) *Error {
	c := e.authored()
	c.message = fmt.Sprintf(format, args...)
	return c
}

// Refusal returns a copy of e that says that the handler did not run, so that
// the caller may take the call elsewhere. It is for middleware that turns a
// call away: returned once the handler has begun, it would be a lie.
func (e *Error) Refusal() *Error {
	c := e.authored()
	c.unprocessed = true
	return c
}

// authored returns a copy that counts as written by this program. That a
// handler of the other side's did not run says nothing of this side's.
func (e *Error) authored() *Error {
	c := *e
	c.unprocessed = e.unprocessed && !e.remote
	c.remote = false
	return &c
}

// Details decodes what the author attached by [Error.With] into v, a pointer.
// It returns an error if there are none or they do not fit.
func (e *Error) Details(v any) error {
	if len(e.details) == 0 {
		return errors.New("no details")
	}
	return JSON.Decode(e.details, v)
}

// RawDetails returns the details as JSON, nil for none. The caller must not
// change them.
func (e *Error) RawDetails() []byte { return e.details }

// Unprocessed reports whether the handler provably never ran; see the
// function [Unprocessed].
func (e *Error) Unprocessed() bool { return e.unprocessed }

// Error returns code, reason and message in one line. Text from the other
// side that would not print on one line is quoted.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.code.String())
	for _, s := range []string{e.reason, e.message} {
		if s == "" {
			continue
		}
		if e.remote && !printable(s) {
			s = strconv.Quote(s)
		}
		b.WriteString(": ")
		b.WriteString(s)
	}
	return b.String()
}

// printable reports whether s shows as it is, on one line. What is not UTF-8
// does not: terminals take some of those bytes for commands.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Is makes errors.Is compare two Errors by Code and Reason, and lets an Error
// of code [Canceled] or [DeadlineExceeded] match the error of package context.
func (e *Error) Is(target error) bool {
	if t, ok := target.(*Error); ok {
		return t.code == e.code && t.reason == e.reason
	}
	return e.code == Canceled && target == context.Canceled ||
		e.code == DeadlineExceeded && target == context.DeadlineExceeded
}

// Remote reports whether err is what the other side answered. It is false
// where this side gave up: its ctx ended, the connection was lost, no peer
// could be reached.
func Remote(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.remote
}

// Unprocessed reports whether the call that failed with err provably never
// reached its handler. Such a call may be repeated whatever it does; after any
// other failure that is not [Remote], whether the handler ran is unknown. Where
// err joins the errors of several attempts, it holds only if it does for all
// that know.
func Unprocessed(err error) bool {
	_, never := unprocessed(err)
	return never
}

// unprocessed reports whether any error in err's tree knows if the handler
// ran, and whether all that do say that it never did. The outermost of a chain
// decides.
func unprocessed(err error) (known, never bool) {
	switch e := err.(type) {
	case interface{ Unprocessed() bool }:
		return true, e.Unprocessed()
	case interface{ Unwrap() error }:
		return unprocessed(e.Unwrap())
	case interface{ Unwrap() []error }:
		never = true
		for _, part := range e.Unwrap() {
			k, n := unprocessed(part)
			known = known || k
			never = never && (n || !k)
		}
	}
	return known, known && never
}

// ErrUsed is yielded by the second range over the result of a
// [ServerStreamMethod.Call], and by [Duplex.All] over one that has ended.
var ErrUsed = errors.New("this stream of messages was used before")
