package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// tellEvery is after how many bytes the sender is told how far it has got.
const tellEvery = 1 << 20

// put serves fileapi.Put.
func (s *Store) put(ctx context.Context, d *kith.Duplex[fileapi.Held, []byte]) error {
	want, err := fileapi.UploadFrom(kith.MetadataFrom(ctx))
	if err != nil {
		return fileapi.ErrRequest.WithMessage("%v", err)
	}
	there, err := s.mayPut(ctx, want)
	if err != nil {
		return writeError(err)
	}
	if there {
		return d.Send(fileapi.Held{Bytes: want.Size, Done: true})
	}
	c, err := s.uploads.claim(ctx, want, kith.PeerFrom(ctx).ID)
	if err != nil {
		return writeError(err)
	}
	defer c.release()
	if err := c.receive(ctx, d); err != nil {
		return writeError(err)
	}
	if err := c.publish(ctx); err != nil {
		return writeError(err)
	}
	return d.Send(fileapi.Held{Bytes: want.Size, Done: true})
}

// mayPut refuses what cannot come to a good end, before anything is sent. It
// returns true if the very file is there already: its sender may have lost the
// answer.
func (s *Store) mayPut(ctx context.Context, want fileapi.Upload) (there bool, err error) {
	info, err := s.lookFile(want.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if s.cfg.MaxSize >= 0 && want.Size > s.cfg.MaxSize {
		return false, fileapi.ErrTooLarge.WithMessage("a file of %d bytes is over the server's limit of %d", want.Size, s.cfg.MaxSize)
	}
	if info != nil && info.Size() == want.Size {
		f, err := s.openFile(want.Name)
		if err != nil {
			return false, nil // put it anew
		}
		defer func() { _ = f.Close() }()
		content, err := s.sums.of(ctx, want.Name, f)
		if err == nil && content == want.Content {
			return true, nil
		}
	}
	if s.lock == nil {
		return false, fileapi.ErrReadOnly
	}
	return false, ctx.Err()
}

// receive takes what is missing.
func (c *claim) receive(ctx context.Context, d *kith.Duplex[fileapi.Held, []byte]) error {
	held, err := c.has(ctx)
	if err != nil {
		return err
	}
	if err := d.Send(fileapi.Held{Bytes: held}); err != nil {
		return err
	}
	told := held
	for held < c.want.Size {
		p, err := d.Recv()
		if errors.Is(err, io.EOF) {
			return fileapi.ErrRequest.WithMessage("%d bytes of %d, and no more", held, c.want.Size)
		}
		if err != nil {
			return err
		}
		if held, err = c.write(ctx, p); err != nil {
			return err
		}
		if held-told >= tellEvery {
			told = held
			if err := d.Send(fileapi.Held{Bytes: held}); err != nil {
				return err
			}
		}
	}
	return nil
}
