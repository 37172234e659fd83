package quic

import "syscall"

// passingErrors are those of a write for which there is no way at the moment,
// by the numbers that Winsock gives.
var passingErrors = []syscall.Errno{
	10049, // WSAEADDRNOTAVAIL
	10050, // WSAENETDOWN
	10051, // WSAENETUNREACH
	10054, // WSAECONNRESET: an earlier packet met no listener
	10055, // WSAENOBUFS
	10064, // WSAEHOSTDOWN
	10065, // WSAEHOSTUNREACH
}

// refusal is how a connected UDP socket says that the other port is closed:
// WSAECONNRESET.
const refusal = syscall.Errno(10054)
