package fileclient

import (
	"context"
	"errors"
	"iter"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// List gives the files whose names begin with prefix, to be ranged over once.
// It does not try again: what the caller has seen cannot be taken back.
func (c *Client) List(ctx context.Context, prefix string) iter.Seq2[fileapi.File, error] {
	return fileapi.List.Call(ctx, c.cfg.Caller, prefix)
}

// Remove removes the file of that name. If a connection is lost and with it the
// answer, it asks again; that there is no such file means success then.
func (c *Client) Remove(ctx context.Context, name string) error {
	if err := fileapi.CheckName(name); err != nil {
		return err
	}
	mayBeDone := false
	return c.persist(ctx, func() (bool, error) {
		_, err := fileapi.Remove.Call(ctx, c.cfg.Caller, name)
		if mayBeDone && errors.Is(err, fileapi.ErrNotFound) {
			return false, nil
		}
		mayBeDone = mayBeDone || err != nil && !kith.Remote(err) && !kith.Unprocessed(err)
		return false, err
	})
}
