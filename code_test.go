package kith_test

import (
	"testing"

	"github.com/kith-go/kith"
)

// TestCodes holds the numbers to those that gRPC made common: they are on the
// wire.
func TestCodes(t *testing.T) {
	names := []string{
		"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
		"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated",
	}
	codes := []kith.Code{
		kith.OK, kith.Canceled, kith.Unknown, kith.InvalidArgument, kith.DeadlineExceeded, kith.NotFound, kith.AlreadyExists,
		kith.PermissionDenied, kith.ResourceExhausted, kith.FailedPrecondition, kith.Aborted, kith.OutOfRange, kith.Unimplemented,
		kith.Internal, kith.Unavailable, kith.DataLoss, kith.Unauthenticated,
	}
	for i, c := range codes {
		if uint32(c) != uint32(i) || c.String() != names[i] || !c.Known() {
			t.Errorf("code %d = %d, %q, known %t, want %d, %q, true", i, uint32(c), c, c.Known(), i, names[i])
		}
	}
	for c, want := range map[kith.Code]string{17: "Code(17)", 1 << 31: "Code(2147483648)", 1<<32 - 1: "Code(4294967295)"} {
		if c.String() != want || c.Known() {
			t.Errorf("Code(%d) = %q, known %t, want %q, false", uint32(c), c, c.Known(), want)
		}
	}
}
