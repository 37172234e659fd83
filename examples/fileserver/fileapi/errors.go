package fileapi

import "github.com/kith-go/kith"

// What the server says went wrong. errors.Is recognises each on the client's
// side; any other error of the server's own arrives as kith.Internal.
var (
	// ErrName refuses a name that breaks a rule of [CheckName].
	ErrName = kith.NewError(kith.InvalidArgument, "bad_name", "not a name for a file")
	// ErrNotFound says that there is no file of that name.
	ErrNotFound = kith.NewError(kith.NotFound, "no_such_file", "no such file")
	// ErrNotFile says that a directory, a symbolic link or a device has that
	// name, or that a file stands where the name needs a directory.
	ErrNotFile = kith.NewError(kith.FailedPrecondition, "not_a_file", "not a regular file")
	// ErrUnreadable says that the server itself may not read the file.
	ErrUnreadable = kith.NewError(kith.PermissionDenied, "unreadable", "the server may not read that file")
	// ErrRequest refuses a request that makes no sense.
	ErrRequest = kith.NewError(kith.InvalidArgument, "bad_request", "not a request that makes sense")
	// ErrTooLarge refuses a file above the server's limit.
	ErrTooLarge = kith.NewError(kith.ResourceExhausted, "file_too_large", "the file is larger than the server takes")
	// ErrDiskFull says that the server has no room. It has dropped what it held
	// of the file.
	ErrDiskFull = kith.NewError(kith.ResourceExhausted, "disk_full", "the server's disk is full")
	// ErrReadOnly says that the server may not write there.
	ErrReadOnly = kith.NewError(kith.FailedPrecondition, "read_only", "the server's directory is read-only")
	// ErrBusy says that another client is storing the same file.
	ErrBusy = kith.NewError(kith.Aborted, "busy", "another client is storing the same file")
	// ErrSuperseded ends a Put when the same client begins it anew.
	ErrSuperseded = kith.NewError(kith.Aborted, "superseded", "the same client has begun to store this file once more")
	// ErrChanged says that the file is not what the caller asked for, or not any more.
	ErrChanged = kith.NewError(kith.Aborted, "changed", "the file has changed")
	// ErrDamaged says that what arrived is not what was announced. The server
	// has dropped it.
	ErrDamaged = kith.NewError(kith.DataLoss, "damaged", "what arrived does not have the SHA-256 that was announced")
	// ErrWatchers says that there are as many watchers as the server takes.
	ErrWatchers = kith.NewError(kith.ResourceExhausted, "too_many_watchers", "too many watchers")
	// ErrEnding ends a Watch as the server is about to stop.
	ErrEnding = kith.NewError(kith.Unavailable, "ending", "the server is about to stop")
)
