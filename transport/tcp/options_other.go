//go:build !linux

package tcp

import "net"

// Of the options of Linux there is none here. Where TCP_NOTSENT_LOWAT exists, on macOS, it
// changes when a socket is reported as writable, and not what a write takes; keep-alive
// probes have to do for the user timeout.

func (s sockets) dialer() *net.Dialer {
	return &net.Dialer{KeepAlive: -1, KeepAliveConfig: s.keepAlive}
}

func (s sockets) listenConfig() *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: -1, KeepAliveConfig: s.keepAlive}
}
