//go:build !windows

package quic

import "syscall"

// passingErrors are those of a write for which there is no way at the moment.
var passingErrors = []syscall.Errno{
	syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN,
	syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.EPERM, syscall.ECONNREFUSED,
}

// refusal is how a connected UDP socket says that the other port is closed.
const refusal = syscall.ECONNREFUSED
