package filestore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// look checks a name and every part of its path, and returns what is there.
// os.Root keeps names inside of the directory, whatever happens meanwhile; this
// says why before it comes to that, and refuses what os.Root lets pass: links
// inside, and the Store's own directory in any spelling that the file system
// takes for it.
func (s *Store) look(name string) (fs.FileInfo, error) {
	if err := fileapi.CheckName(name); err != nil {
		return nil, err
	}
	if _, err := filepath.Localize(name); err != nil {
		return nil, fileapi.ErrName.WithMessage("the server's system has no such names: %q", name)
	}
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		info, err := s.lookAt(name[:i])
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, fileapi.ErrNotFile.WithMessage("%q is not a directory", name[:i])
		}
	}
	return s.lookAt(name)
}

func (s *Store) lookAt(path string) (fs.FileInfo, error) {
	info, err := s.root.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fileapi.ErrNotFile.WithMessage("%q is a symbolic link", path)
	case s.temp != nil && os.SameFile(info, s.temp):
		return nil, fileapi.ErrName.WithMessage("%q is the server's own", path)
	}
	return info, nil
}

// lookFile is look for what must be a regular file.
func (s *Store) lookFile(name string) (fs.FileInfo, error) {
	info, err := s.look(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fileapi.ErrNotFile.WithMessage("%q is not a regular file", name)
	}
	return info, err
}

// openFile opens a regular file for reading.
func (s *Store) openFile(name string) (*os.File, error) {
	before, err := s.lookFile(name)
	if err != nil {
		return nil, err
	}
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !os.SameFile(before, info) {
		_ = f.Close()
		return nil, errors.Join(err, fileapi.ErrChanged) // or a link has taken its place
	}
	return f, nil
}

// makeParent makes the directories that a name needs. It reports whether there
// were any to make.
func (s *Store) makeParent(name string) (made bool, err error) {
	dir := parent(name)
	if _, err := s.root.Lstat(dir); err == nil {
		return false, nil
	}
	return true, s.root.MkdirAll(dir, 0o777)
}

// syncParent makes what was renamed or removed durable, and with all the
// directories above it too.
func (s *Store) syncParent(name string, all bool) error {
	for {
		name = parent(name)
		dir, err := s.root.Open(name)
		if err == nil {
			err = disk.Sync(dir)
		}
		if err != nil || name == "." || !all {
			return err
		}
	}
}

// readError makes an error of the file system one that callers understand.
// What they have no business with stays as it is: they see kith.Internal, and
// the log has it.
func readError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fileapi.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return fileapi.ErrUnreadable
	}
	return err
}

// writeError does the same where something was to be written.
func writeError(err error) error {
	switch {
	case disk.IsFull(err):
		return fileapi.ErrDiskFull
	case disk.IsReadOnly(err):
		return fileapi.ErrReadOnly
	case errors.Is(err, syscall.EFBIG):
		return fileapi.ErrTooLarge.WithMessage("the file is larger than the server's file system takes")
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist):
		return fileapi.ErrNotFile // somebody made it between the look and the deed
	}
	return err
}
