//go:build !linux

package mdns

// portShared is true: macOS and Windows have a responder of their own, and elsewhere we cannot tell.
func portShared() bool { return true }
