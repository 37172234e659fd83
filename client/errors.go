package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// ErrClosed is matched by the error of every call once the client has been
// closed or shut down. It matches [transport.ErrClosed] and [net.ErrClosed].
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string     { return "client closed" }
func (closedError) Unwrap() error     { return transport.ErrClosed }
func (closedError) Code() kith.Code   { return kith.Canceled }
func (closedError) Unprocessed() bool { return true }

// A DialError says that no address led to a connection. It matches whatever
// the causes do: a [*transport.PeerError] where somebody else answered, a
// remote [kith.Error] where the server refused this side. A call that failed
// with one was not sent. It must not be changed.
type DialError struct {
	// Attempts are what was tried, in order.
	Attempts []Attempt
}

// An Attempt is one try to connect to one address.
type Attempt struct {
	// Addr is the address.
	Addr transport.Addr
	// At is when the attempt began, Took how long it was until it failed.
	At   time.Time
	Took time.Duration
	// Err is why it failed.
	Err error
}

// errPending stands for the cause in an attempt that is still going on.
var errPending = errors.New("no answer yet")

// Error names each address, when it was tried, and why it failed.
func (e *DialError) Error() string {
	var b strings.Builder
	b.WriteString("no connection")
	for i, a := range e.Attempts {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		addr := a.Addr.String()
		fmt.Fprintf(&b, "%s tried at %s", addr, a.At.Format("15:04:05.000"))
		if a.Took >= time.Millisecond {
			fmt.Fprintf(&b, " for %v", a.Took.Round(time.Millisecond))
		}
		// Transports name the address by themselves.
		b.WriteString(": " + cutText(strings.TrimPrefix(a.Err.Error(), "dial "+addr+": ")))
	}
	return b.String()
}

// Unwrap returns the causes of all attempts.
func (e *DialError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// Code returns why all that was tried failed, if that was one and the same:
// what the servers refused this side with, or [kith.Unauthenticated] where
// somebody else answered or nobody could tell who should. Otherwise it returns
// [kith.Unavailable], which may be different a moment later.
func (e *DialError) Code() kith.Code {
	code := kith.Unavailable
	for i, a := range e.Attempts {
		c := attemptCode(a.Err)
		if i > 0 && c != code {
			return kith.Unavailable
		}
		code = c
	}
	return code
}

// forGood reports whether every attempt ended in that the server does not admit
// this side, or that who answers is not who was asked for: that changes when
// somebody changes it, and not by waiting.
func (e *DialError) forGood() bool {
	for _, a := range e.Attempts {
		if c := attemptCode(a.Err); c != kith.PermissionDenied && c != kith.Unauthenticated {
			return false
		}
	}
	return len(e.Attempts) > 0
}

func attemptCode(err error) kith.Code {
	var refusal *kith.Error
	var failure *session.Failure
	var other *transport.PeerError
	switch {
	case errors.As(err, &refusal):
		return refusal.Code()
	case errors.As(err, &other), errors.Is(err, transport.ErrNoIdentity):
		return kith.Unauthenticated
	case errors.As(err, &failure):
		return failure.Code()
	}
	return kith.Unavailable
}

// Unprocessed returns true: what has no connection is not sent.
func (e *DialError) Unprocessed() bool { return true }

// attemptErr makes an attempt's error safe to hand to callers: the end of the
// attempt's ctx must not look like that of theirs.
func attemptErr(err error, timedOut bool, limit time.Duration) error {
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case !ended, kith.Remote(err):
		return err
	case timedOut:
		return fmt.Errorf("no answer within %v: %w", limit, os.ErrDeadlineExceeded)
	}
	return errors.New(err.Error())
}

// A waitError is why a call that waited for a connection ended with its ctx.
// What was tried meanwhile is text only: that this side gave up is the cause.
type waitError struct {
	ctx   error
	tried *DialError // nil if nothing was
}

func (e *waitError) Error() string {
	if e.tried == nil {
		return e.ctx.Error()
	}
	return fmt.Sprintf("wait for a connection: %v (%v)", e.ctx, e.tried)
}

func (e *waitError) Unwrap() error     { return e.ctx }
func (e *waitError) Code() kith.Code   { return kith.CodeOf(e.ctx) }
func (e *waitError) Unprocessed() bool { return true }

// maxText is the length at which text that may come from outside is cut.
const maxText = 256

func cutText(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "..."
	}
	return s
}
