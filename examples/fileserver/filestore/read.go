package filestore

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// pieceSize is how much of a file goes into one message.
const pieceSize = 64 << 10

// stat serves fileapi.Stat.
func (s *Store) stat(ctx context.Context, name string) (fileapi.File, error) {
	f, err := s.openFile(name)
	if err != nil {
		return fileapi.File{}, readError(err)
	}
	defer func() { _ = f.Close() }()
	content, err := s.sums.of(ctx, name, f)
	if err != nil {
		return fileapi.File{}, readError(err)
	}
	info, err := f.Stat()
	if err != nil {
		return fileapi.File{}, err
	}
	return fileapi.File{Name: name, Content: content, Modified: info.ModTime()}, nil
}

// get serves fileapi.Get. What was opened stays readable as it is when a new
// file takes over the name; who writes into the file itself is found out by the
// digest on the other side.
func (s *Store) get(ctx context.Context, r fileapi.Range) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := s.read(ctx, r, func(p []byte) bool { return yield(p, nil) }); err != nil {
			yield(nil, readError(err))
		}
	}
}

func (s *Store) read(ctx context.Context, r fileapi.Range, yield func([]byte) bool) error {
	if r.Offset < 0 || r.Offset > r.Content.Size {
		return fileapi.ErrRequest.WithMessage("offset %d of a file of %d bytes", r.Offset, r.Content.Size)
	}
	f, err := s.openFile(r.Name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	content, err := s.sums.of(ctx, r.Name, f)
	if err != nil {
		return err
	}
	if content != r.Content {
		return fileapi.ErrChanged
	}
	left := io.NewSectionReader(f, r.Offset, content.Size-r.Offset)
	piece := make([]byte, min(pieceSize, left.Size()))
	for at := r.Offset; at < content.Size; {
		n, err := left.Read(piece)
		if n > 0 && !yield(piece[:n]) {
			return nil
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF) && at < content.Size:
			return fileapi.ErrChanged // it was cut
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
	}
	return nil
}

// remove serves fileapi.Remove. Directories stay.
func (s *Store) remove(_ context.Context, name string) (struct{}, error) {
	if _, err := s.lookFile(name); err != nil {
		return struct{}{}, readError(err)
	}
	err := s.root.Remove(name)
	if err == nil {
		err = s.syncParent(name, false)
	}
	if err != nil {
		return struct{}{}, writeError(notExist(err))
	}
	s.hub.wake()
	return struct{}{}, nil
}
