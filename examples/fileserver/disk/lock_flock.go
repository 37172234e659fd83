//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package disk

import (
	"errors"
	"os"
	"syscall"
)

// Lock locks f until it is closed, also by the end of the process, however
// that comes. It does not wait: if somebody else has f locked, it returns
// [ErrLocked]. It does nothing on systems without flock, Windows say: there
// whoever runs the programs has to see to it that no two use one file.
func Lock(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	err = c.Control(func(fd uintptr) {
		for {
			locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
			if !errors.Is(locked, syscall.EINTR) {
				return
			}
		}
	})
	if errors.Is(locked, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return errors.Join(err, locked)
}
