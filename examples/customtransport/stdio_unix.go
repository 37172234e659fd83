//go:build unix

package main

import (
	"os"
	"syscall"
)

// standardFiles returns standard input and output as files whose Close ends a
// Read or Write that is blocked. That of os.Stdin does not, as package os leaves
// files in blocking mode that it did not open.
func standardFiles() (in, out *os.File, err error) {
	if in, err = reopen(os.Stdin); err == nil {
		out, err = reopen(os.Stdout)
	}
	return in, out, err
}

// reopen replaces f by a file of the same pipe in non-blocking mode.
func reopen(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), f.Close()
}
