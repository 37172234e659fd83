package fileclient

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// maxChanges is how many new contents of a file on the server a Get runs
// after.
const maxChanges = 5

// Get fetches the file of that name to path, and replaces what is there. Until
// it is whole, it is beside path, in a file that ends in ".partial". If path has
// the same content already, nothing is fetched. The end of ctx ends the
// transfer; what was fetched stays for a later Get of the same.
func (c *Client) Get(ctx context.Context, name, path string) (fileapi.Content, error) {
	if err := fileapi.CheckName(name); err != nil {
		return fileapi.Content{}, err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fileapi.Content{}, fmt.Errorf("%s is not a regular file", path)
	}
	for try := 1; ; try++ {
		content, err := c.get(ctx, name, path)
		if !errors.Is(err, fileapi.ErrChanged) || try == maxChanges {
			return content, err
		}
	}
}

// get fetches the file as it is now.
func (c *Client) get(ctx context.Context, name, path string) (fileapi.Content, error) {
	var file fileapi.File
	err := c.persist(ctx, func() (_ bool, err error) {
		file, err = fileapi.Stat.Call(ctx, c.cfg.Caller, name)
		return false, err
	})
	if err != nil {
		return fileapi.Content{}, err
	}
	if file.Size < 0 {
		return fileapi.Content{}, fmt.Errorf("the server says that %q has %d bytes", name, file.Size)
	}
	if same(ctx, path, file.Content) {
		return file.Content, nil
	}
	p, err := openPartial(ctx, path, file.Content)
	if err != nil {
		return fileapi.Content{}, err
	}
	defer func() { _ = p.file.Close() }() // where finish did not get as far
	if err := c.fill(ctx, name, p); err != nil {
		return fileapi.Content{}, err
	}
	return file.Content, p.finish()
}

// same reports whether the file at path has that content.
func same(ctx context.Context, path string, want fileapi.Content) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || info.Size() != want.Size {
		return false
	}
	sum := sha256.New()
	_, err = disk.Digest(ctx, sum, f)
	return err == nil && fileapi.Digest(sum.Sum(nil)) == want.SHA256
}

// fill fetches what is missing, until all of it is right.
func (c *Client) fill(ctx context.Context, name string, p *partial) error {
	m := &meter{c: c, name: name, size: p.want.Size}
	for {
		resumed := p.held > 0
		m.at(p.held)
		if p.held < p.want.Size {
			if err := c.persist(ctx, func() (bool, error) { return c.fetch(ctx, name, p, m) }); err != nil {
				return err
			}
		}
		if p.right() {
			return nil
		}
		if err := p.restart(); err != nil {
			return err
		}
		if !resumed { // nothing but what has just come is to blame
			return fileapi.ErrDamaged
		}
	}
}

// fetch fetches what is missing, in one call. It reports whether anything came.
func (c *Client) fetch(ctx context.Context, name string, p *partial, m *meter) (progress bool, err error) {
	r := fileapi.Range{Name: name, Content: p.want, Offset: p.held}
	told := p.held
	m.begin()
	for piece, err := range fileapi.Get.Call(ctx, c.cfg.Caller, r) {
		if err != nil {
			return p.held > r.Offset, err
		}
		if err := p.write(piece); err != nil {
			return true, err
		}
		if p.held-told >= tellEvery || p.held == p.want.Size {
			told = p.held
			m.at(told)
		}
		if err := sleep(ctx, m.ahead(len(piece))); err != nil {
			return true, err
		}
	}
	if p.held < p.want.Size {
		return p.held > r.Offset, errEnded
	}
	return true, nil
}

// tellEvery is after how many bytes progress is told.
const tellEvery = 1 << 20
