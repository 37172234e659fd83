package filestore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"path"
	"strings"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// list serves fileapi.List.
func (s *Store) list(ctx context.Context, prefix string) iter.Seq2[fileapi.File, error] {
	return func(yield func(fileapi.File, error) bool) {
		err := s.walk(ctx, prefix, func(f fileapi.File) bool { return yield(f, nil) })
		if err != nil {
			yield(fileapi.File{}, readError(err))
		}
	}
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// walk calls found for each file whose name begins with prefix, in the order
// of fs.WalkDir, until it returns false. What cannot be asked for by name is
// left out: links, devices, names against the rules. A directory that cannot be
// read is passed over.
func (s *Store) walk(ctx context.Context, prefix string, found func(fileapi.File) bool) error {
	if err := fileapi.CheckPrefix(prefix); err != nil {
		return err
	}
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i]
		info, err := s.look(start)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
	}
	err := fs.WalkDir(s.root.FS(), start, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil && name == start:
			return err
		case err != nil: // it went away, or the server may not look into it
			s.log.Debug("passed over", slog.String("name", name), slog.String("err", err.Error()))
			return nil
		case d.IsDir():
			if strings.EqualFold(name, fileapi.TempDir) {
				return fs.SkipDir
			}
			return nil
		}
		f, ok := describe(name, d)
		if ok && strings.HasPrefix(name, prefix) && !found(f) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// describe reports false for what is not a file that can be asked for.
func describe(name string, d fs.DirEntry) (fileapi.File, bool) {
	if !d.Type().IsRegular() || fileapi.CheckName(name) != nil {
		return fileapi.File{}, false
	}
	info, err := d.Info()
	if err != nil || !info.Mode().IsRegular() { // it went away
		return fileapi.File{}, false
	}
	return fileapi.File{
		Name: name, Content: fileapi.Content{Size: info.Size()}, Modified: info.ModTime(),
	}, true
}

// parent returns the directory of a name, "." for the root.
func parent(name string) string { return path.Dir(name) }

// notExist makes a file that went away meanwhile one that is not there.
func notExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fileapi.ErrNotFound
	}
	return err
}
