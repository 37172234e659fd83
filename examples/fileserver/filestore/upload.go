package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// uploads are the files on their way that somebody works on.
type uploads struct {
	s *Store
	// write writes to a file; tests put a full disk in its place.
	write func(f *os.File, p []byte) (int, error)

	mu   sync.Mutex
	open map[string]*upload // by path; guarded by mu
}

func (us *uploads) init(s *Store) {
	us.s = s
	us.write = (*os.File).Write
	us.open = make(map[string]*upload)
}

// An upload is one file on its way: a content for a name. One claim at a time
// may write. A client that comes again takes over its own claim, as the old one
// may be of a connection that is dead without this side knowing.
type upload struct {
	uploads *uploads
	want    fileapi.Upload
	path    string
	owner   kith.ID // the zero ID may be taken over by anyone

	// turn holds a token while somebody works on what follows. It is a channel,
	// not a mutex, since that work is reading and writing.
	turn   chan struct{}
	latest int      // the number of the latest claim
	file   *os.File // nil when the upload has ended
	held   int64
	sum    hash.Hash // of what is held
}

// A claim is the right to write to an upload, until it is released or taken
// over.
type claim struct {
	*upload
	number int
	spoilt bool // what is held is of no use
}

// pathOf returns where the bytes of an upload are kept.
func pathOf(want fileapi.Upload) string {
	key := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", want.Name, want.Size, want.SHA256))
	return fileapi.TempDir + "/" + hex.EncodeToString(key[:])
}

// claim returns a claim for owner. The caller must release it.
func (us *uploads) claim(ctx context.Context, want fileapi.Upload, owner kith.ID) (*claim, error) {
	for {
		u, created, err := us.enter(want, owner)
		if err != nil {
			return nil, err
		}
		if created {
			err = u.start(ctx) // with the turn already taken
		} else {
			err = u.take(ctx)
		}
		if err != nil {
			return nil, err
		}
		if u.file == nil { // it ended while this waited for the turn
			u.give()
			continue
		}
		u.latest++
		c := &claim{upload: u, number: u.latest}
		u.give()
		return c, nil
	}
}

// enter finds or makes the upload. Who makes it has the turn.
func (us *uploads) enter(want fileapi.Upload, owner kith.ID) (u *upload, created bool, err error) {
	path := pathOf(want)
	us.mu.Lock()
	defer us.mu.Unlock()
	if u = us.open[path]; u == nil {
		u = &upload{uploads: us, want: want, path: path, owner: owner, turn: make(chan struct{}, 1)}
		u.turn <- struct{}{} // never blocks: it is new
		us.open[path] = u
		return u, true, nil
	}
	if !u.owner.IsZero() && u.owner != owner {
		return nil, false, fileapi.ErrBusy
	}
	return u, false, nil
}

// take waits for the turn.
func (u *upload) take(ctx context.Context) error {
	select {
	case u.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *upload) give() { <-u.turn }

// close ends the upload. The caller has the turn, and forgets the upload when
// it is done with what is at its path.
func (u *upload) close() {
	if u.file != nil {
		_ = u.file.Close() // what it holds is checked by the next one who opens it
		u.file = nil
	}
}

// forget lets the next claim begin anew.
func (us *uploads) forget(path string) {
	us.mu.Lock()
	defer us.mu.Unlock()
	delete(us.open, path)
}

// start opens the file, and reads what it holds. If it fails, the upload has
// ended and the turn is given.
func (u *upload) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			u.close()
			u.uploads.forget(u.path)
			u.give()
		}
	}()
	root := u.uploads.s.root
	if u.file, err = root.OpenFile(u.path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	info, err := u.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > u.want.Size {
		if err := u.file.Truncate(0); err != nil {
			return err
		}
	}
	u.sum = sha256.New()
	u.held, err = disk.Digest(ctx, u.sum, u.file)
	return err
}

// begin takes the turn for a claim.
func (c *claim) begin(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	if c.file == nil || c.latest != c.number {
		c.give()
		return fileapi.ErrSuperseded
	}
	return nil
}

// has returns how much is held.
func (c *claim) has(ctx context.Context) (int64, error) {
	if err := c.begin(ctx); err != nil {
		return 0, err
	}
	defer c.give()
	return c.held, nil
}

// write adds p to what is held, and returns how much that is then.
func (c *claim) write(ctx context.Context, p []byte) (int64, error) {
	if err := c.begin(ctx); err != nil {
		return 0, err
	}
	defer c.give()
	if int64(len(p)) > c.want.Size-c.held {
		c.spoilt = true
		return 0, fileapi.ErrRequest.WithMessage("more than the %d bytes that were announced", c.want.Size)
	}
	n, err := c.uploads.write(c.file, p)
	c.sum.Write(p[:n])
	c.held += int64(n)
	// Where the disk is full, everybody needs the room, and the sender still has
	// the bytes.
	c.spoilt = c.spoilt || disk.IsFull(err)
	return c.held, err
}

// publish gives a complete upload its name: checked, durable, at once. From
// then on the claim is of no use.
func (c *claim) publish(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.give()
	s := c.uploads.s
	if fileapi.Digest(c.sum.Sum(nil)) != c.want.SHA256 {
		c.spoilt = true
		return fileapi.ErrDamaged
	}
	if err := c.file.Sync(); err != nil {
		c.spoilt = true // nobody knows what is on the disk, whatever a reader sees
		return err
	}
	info, err := c.file.Stat()
	if err != nil {
		return err
	}
	if _, err := s.lookFile(c.want.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, err := s.makeParent(c.want.Name)
	if err != nil {
		return err
	}
	c.close() // Windows renames no open file
	defer c.uploads.forget(c.path)
	if err := s.root.Rename(c.path, c.want.Name); err != nil {
		return err
	}
	s.sums.put(c.want.Name, info, c.want.SHA256)
	s.hub.wake()
	return errors.Join(s.syncParent(c.want.Name, made), s.syncParent(c.path, false))
}

// release ends the claim. What is held stays for the next one, unless it is
// spoilt.
func (c *claim) release() {
	c.turn <- struct{}{} // others have it for a moment only
	defer c.give()
	if c.file == nil || c.latest != c.number {
		return
	}
	c.close()
	defer c.uploads.forget(c.path)
	if !c.spoilt {
		return
	}
	if err := c.uploads.s.root.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.uploads.s.log.Warn("what is of no use stays", slog.String("path", c.path), slog.String("err", err.Error()))
	}
}
