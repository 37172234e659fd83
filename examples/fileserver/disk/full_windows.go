package disk

import (
	"errors"
	"syscall"
)

// What Windows calls a full disk (ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL).
const (
	handleDiskFull syscall.Errno = 39
	diskFull       syscall.Errno = 112
)

func isFull(err error) bool { return errors.Is(err, diskFull) || errors.Is(err, handleDiskFull) }
