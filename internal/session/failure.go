package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// A Failure is why a call got no answer from the other side: this side gave
// up, or the connection was lost. It never leaves the process.
type Failure struct {
	code        kith.Code
	what        string
	cause       error
	unprocessed bool
}

// NewFailure returns a Failure of what was tried.
func NewFailure(code kith.Code, what string, cause error, unprocessed bool) *Failure {
	return &Failure{code: code, what: what, cause: cause, unprocessed: unprocessed}
}

// Error says what was tried and why it failed.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.what, f.cause) }

// Unwrap returns the cause: the error of the ctx that ended, a
// [*transport.ConnError] and so on.
func (f *Failure) Unwrap() error { return f.cause }

// Code classifies the failure.
func (f *Failure) Code() kith.Code { return f.code }

// Unprocessed reports whether the call provably never reached its handler.
func (f *Failure) Unprocessed() bool { return f.unprocessed }

// errDraining is the cause of calls that were not made as the other side drains.
var errDraining = errors.New("the other side is draining")

// gaveUp is the failure of a call whose ctx ended.
func gaveUp(ctx context.Context, what string, unprocessed bool) *Failure {
	err := ctx.Err()
	return &Failure{code: kith.CodeOf(err), what: what, cause: err, unprocessed: unprocessed}
}

// lost is the failure of a call whose connection ended.
func (s *Session) lost(what string, why *transport.ConnError, unprocessed bool) *Failure {
	return &Failure{code: kith.Unavailable, what: what, cause: why, unprocessed: unprocessed}
}

// failure turns an error of the transport into one of a call.
func (s *Session) failure(what string, err error, unprocessed bool) *Failure {
	code := kith.Unavailable
	var se *transport.StreamError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		code = kith.CodeOf(err)
	case errors.As(err, &se) && se.Remote && se.Code != kith.OK:
		code = se.Code
	}
	return &Failure{code: code, what: what, cause: err, unprocessed: unprocessed}
}

// tooLarge is the error of a message over a limit: both numbers, and what to
// change. It is authored here, so a handler may return it as it is.
func tooLarge(size, limit int, whose string) *kith.Error {
	return kith.NewError(kith.ResourceExhausted, "message_too_large",
		fmt.Sprintf("message of %d bytes is over %s limit of %d (option MaxMessage)", size, whose, limit))
}
