//go:build unix

package mux

import (
	"errors"
	"syscall"
)

const canTry = true

// writeOnce writes to a non-blocking descriptor what it takes now.
func writeOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		default:
			return 0, err
		}
	}
}
