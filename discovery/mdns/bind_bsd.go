//go:build unix && !linux

package mdns

import "golang.org/x/sys/unix"

// share lets others use the port.
func share(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}
