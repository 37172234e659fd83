//go:build !linux

package quic

import "net"

type buffer struct{}

var receiveBuffer, sendBuffer buffer

// forceBuffer is for Linux. Elsewhere a socket's buffer is what was set.
func forceBuffer(*net.UDPConn, buffer, int) (got int, ok bool) { return 0, false }
