package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/share/shareapi"
)

// A partial is a file on its way to its name, beside it. Part of the hash is in its own name, so
// that what is continued is of the same content, and every chunk in it is verified
// anyway. It is locked, so that nobody else works on it.
type partial struct {
	to      Target
	outline *shareapi.Outline
	name    string
	file    *os.File
}

// maxStem is how much of the name of the file is in that of its partial: file
// systems have room for 255 bytes, mostly.
const maxStem = 200

func openPartial(to Target, hash shareapi.Hash, o *shareapi.Outline) (*partial, error) {
	if err := to.check(); err != nil {
		return nil, err
	}
	base := filepath.Base(to.Path)
	if len(base) > maxStem {
		base = strings.ToValidUTF8(base[:maxStem], "")
	}
	name := filepath.Join(filepath.Dir(to.Path), fmt.Sprintf(".%s.%s.partial", base, hash.String()[:16]))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	p := &partial{to: to, outline: o, name: name, file: f}
	if err := p.lock(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

// check finds out early what finish would fail with.
func (to *Target) check() error {
	info, err := os.Lstat(to.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return &fs.PathError{Op: "save", Path: to.Path, Err: errors.New("is a directory")}
	case !to.Replace:
		return &fs.PathError{Op: "save", Path: to.Path, Err: fs.ErrExist}
	}
	return nil
}

// lock fails if somebody else works on the file, or finished it a moment ago.
func (p *partial) lock() error {
	if err := disk.Lock(p.file); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	mine, err := p.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(p.name)
	if err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%s: %w", p.name, disk.ErrLocked)
	}
	if mine.Size() > p.outline.Size() {
		return p.file.Truncate(p.outline.Size())
	}
	return nil
}

// verify looks for chunks that an earlier Fetch left, and returns how many bytes they are.
func (p *partial) verify(ctx context.Context, pl *plan) (had int64, err error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, min(shareapi.ChunkSize(p.outline.Size()), info.Size()))
	for i := range p.outline.Chunks() {
		offset, length := p.outline.Span(i)
		if offset+int64(length) > info.Size() {
			break
		}
		if err := ctx.Err(); err != nil {
			return had, err
		}
		if _, err := p.file.ReadAt(buf[:length], offset); err != nil && !errors.Is(err, io.EOF) {
			return had, err
		}
		if p.outline.Check(i, buf[:length]) {
			pl.found(i)
			had += int64(length)
		}
	}
	return had, nil
}

// write puts a chunk where it belongs. Several goroutines may do so at once.
func (p *partial) write(data []byte, offset int64) error {
	_, err := p.file.WriteAt(data, offset)
	return err
}

// close leaves what there is for later, if there is anything.
func (p *partial) close() error {
	info, err := p.file.Stat()
	err = errors.Join(err, p.file.Close())
	if err == nil && info.Size() == 0 {
		return os.Remove(p.name)
	}
	return err
}

// finish gives the file its name: durable, at once. The lock goes with it.
func (p *partial) finish() error {
	err := p.file.Sync()
	if err = errors.Join(err, p.file.Close()); err != nil { // Windows renames no open file
		// Nobody knows what is on the disk, whatever a reader sees.
		return errors.Join(err, os.Remove(p.name))
	}
	if err := p.rename(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(p.to.Path))
	if err != nil {
		return err
	}
	return disk.Sync(dir)
}

// rename gives the file its name. Where it must not replace another, a link fails if there is one;
// a file system without links leaves a moment in between.
func (p *partial) rename() error {
	if !p.to.Replace {
		err := os.Link(p.name, p.to.Path)
		if err == nil {
			return os.Remove(p.name)
		}
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := p.to.check(); err != nil {
			return err
		}
	}
	return os.Rename(p.name, p.to.Path)
}
