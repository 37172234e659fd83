package tcp

import (
	"net"
	"syscall"
	"time"
)

// Options that package syscall lacks.
const (
	tcpUserTimeout  = 18 // TCP_USER_TIMEOUT: how long what was sent may stay unacknowledged, in ms
	tcpNotSentLowat = 25 // TCP_NOTSENT_LOWAT: what the kernel takes before it can send it
)

func (s sockets) dialer() *net.Dialer {
	return &net.Dialer{KeepAlive: -1, KeepAliveConfig: s.keepAlive, Control: s.control}
}

// listenConfig sets the options of the listening socket, from which those that it
// accepts inherit them: six system calls less for each. With multipath TCP, which Go listens
// with by default, they need not.
func (s sockets) listenConfig() *net.ListenConfig {
	lc := &net.ListenConfig{KeepAlive: -1, Control: func(network, address string, raw syscall.RawConn) error {
		s.setKeepAlive(raw)
		return s.control(network, address, raw)
	}}
	lc.SetMultipathTCP(false)
	return lc
}

// control sets what package net does not. An option that the system refuses is not worth
// a connection.
func (s sockets) control(_, _ string, raw syscall.RawConn) error {
	setOption(raw, syscall.IPPROTO_TCP, tcpNotSentLowat, maxUnsent)
	if s.userTimeout > 0 {
		setOption(raw, syscall.IPPROTO_TCP, tcpUserTimeout, int(s.userTimeout.Milliseconds()))
	}
	return nil
}

func (s sockets) setKeepAlive(raw syscall.RawConn) {
	if !s.keepAlive.Enable {
		return
	}
	setOption(raw, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	setOption(raw, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, seconds(s.keepAlive.Idle))
	setOption(raw, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, seconds(s.keepAlive.Interval))
	setOption(raw, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, s.keepAlive.Count)
}

// seconds rounds up, as package net does.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func setOption(raw syscall.RawConn, level, option, v int) {
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), level, option, v)
	})
}
