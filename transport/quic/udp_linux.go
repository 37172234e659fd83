package quic

import (
	"net"
	"syscall"
)

// A buffer is one of a socket's two buffers: how to ask for its size, and how
// a privileged process sets it past the limit that the system has.
type buffer struct{ get, force int }

var (
	receiveBuffer = buffer{syscall.SO_RCVBUF, syscall.SO_RCVBUFFORCE}
	sendBuffer    = buffer{syscall.SO_SNDBUF, syscall.SO_SNDBUFFORCE}
)

// forceBuffer tries to make a buffer n bytes large, and returns its size.
func forceBuffer(c *net.UDPConn, b buffer, n int) (got int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) {
		got, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, b.get)
		if err == nil && got < n {
			// An error, EPERM mostly, shows in the size.
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, b.force, n)
			got, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, b.get)
		}
		ok = err == nil
	})
	return got, ok
}
