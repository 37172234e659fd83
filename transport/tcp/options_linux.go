package tcp

import (
	"net"
	"syscall"
	"time"
)

// Options that package syscall lacks.
const (
	tcpUserTimeout  = 18 // TCP_USER_TIMEOUT
	tcpNotSentLowat = 25 // TCP_NOTSENT_LOWAT
)

// setUserTimeout bounds how long what was sent may stay unacknowledged.
func setUserTimeout(c *net.TCPConn, d time.Duration) error {
	return setOption(c, tcpUserTimeout, int(d.Milliseconds()))
}

// setUnsent bounds what the kernel takes before it can send it.
func setUnsent(c *net.TCPConn, n int) error {
	return setOption(c, tcpNotSentLowat, n)
}

func setOption(c *net.TCPConn, option, v int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, option, v)
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
