//go:build !linux

package tcp

import (
	"net"
	"time"
)

// setUserTimeout does nothing: keep-alive probes have to do.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }
