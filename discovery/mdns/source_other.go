//go:build !linux

package mdns

import "net"

// sendAs leaves the choice of a source address to the system.
func sendAs(*net.UDPConn, linkInfo) error { return nil }
