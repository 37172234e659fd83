package kith

import (
	"context"
	"errors"
	"strconv"
)

// A Code classifies how a call, a stream or a connection ended. The names
// and numbers are those that gRPC made common.
type Code uint32

// The codes. OK is never the code of an error.
const (
	OK                 Code = 0  // it worked
	Canceled           Code = 1  // the caller gave up
	Unknown            Code = 2  // an error that carries no code
	InvalidArgument    Code = 3  // the request is wrong, whatever the state of the system
	DeadlineExceeded   Code = 4  // time ran out
	NotFound           Code = 5  // what was asked for does not exist
	AlreadyExists      Code = 6  // what was to be created exists
	PermissionDenied   Code = 7  // the caller is known and may not
	ResourceExhausted  Code = 8  // a limit was reached
	FailedPrecondition Code = 9  // the system is not in the state that the call needs
	Aborted            Code = 10 // a conflict with another call
	OutOfRange         Code = 11 // past the valid range
	Unimplemented      Code = 12 // no such method, codec or feature here
	Internal           Code = 13 // a bug, or an error that is not the caller's business
	Unavailable        Code = 14 // the other side cannot be reached now
	DataLoss           Code = 15 // data lost or damaged beyond repair
	Unauthenticated    Code = 16 // the caller did not prove who it is
)

var codeNames = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
	"AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
	"Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss",
	"Unauthenticated",
}

// String returns the code's name, or "Code(n)" for a number without one.
func (c Code) String() string {
	if c.Known() {
		return codeNames[c]
	}
	return "Code(" + strconv.FormatUint(uint64(c), 10) + ")"
}

// Known reports whether c has a name.
func (c Code) Known() bool { return c < Code(len(codeNames)) }

// CodeOf returns the code of the first error in err's chain that has one, as
// every [Error] and every error of a kith client does. It is [OK] for nil, the
// matching code for the errors of package context, and [Unknown] otherwise.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var coded interface{ Code() Code }
	switch {
	case errors.As(err, &coded):
		return coded.Code()
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	}
	return Unknown
}
