//go:build !linux

package tcp

import (
	"net"
	"time"
)

// setUserTimeout does nothing: keep-alive probes have to do.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// setUnsent does nothing. Where other systems have the option, on macOS, it changes when a
// socket is reported as writable, and not what a write takes.
func setUnsent(*net.TCPConn, int) error { return nil }
