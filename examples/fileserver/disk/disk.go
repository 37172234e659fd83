// Package disk has what both halves of the file server need of files: a lock
// that ends with its process, a digest that can be given up, a directory made
// durable, and what the errors of disks mean.
package disk

import (
	"context"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// ErrLocked says that another process, or another part of this one, holds the
// lock.
var ErrLocked = errors.New("in use by another process")

// Digest writes what r has up to its end to sum, and returns how much that
// was. The end of ctx ends it.
func Digest(ctx context.Context, sum hash.Hash, r io.Reader) (int64, error) {
	piece := make([]byte, 256<<10)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(piece)
		sum.Write(piece[:n])
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Sync makes the entries of a directory durable, and closes it: until then a
// crash of the system may undo a rename. Where the system cannot, it does
// nothing.
func Sync(dir *os.File) error {
	defer func() { _ = dir.Close() }()
	if runtime.GOOS == "windows" {
		return nil
	}
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// IsFull reports whether err says that a disk, or somebody's share of it, is
// full.
func IsFull(err error) bool {
	return isFull(err) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsReadOnly reports whether err says that nothing may be written there.
func IsReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
