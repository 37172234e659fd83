package fileclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// partialSuffix ends the names of files on their way.
const partialSuffix = ".partial"

// A partial is a file on its way to path, beside it. The beginning of its
// content's digest is in its name, so that nothing else is ever continued. It
// is locked, so that nobody else continues it meanwhile.
type partial struct {
	path string // where it is going to be
	want fileapi.Content
	file *os.File
	held int64
	sum  hash.Hash // of what is held
}

// openPartial opens and reads what there is of a file.
func openPartial(ctx context.Context, path string, want fileapi.Content) (*partial, error) {
	p := &partial{path: path, want: want, sum: sha256.New()}
	for p.file == nil {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	info, err := p.file.Stat()
	if err == nil && info.Size() > want.Size {
		err = p.file.Truncate(0)
	}
	if err == nil {
		p.held, err = disk.Digest(ctx, p.sum, p.file)
	}
	if err != nil {
		_ = p.file.Close()
		return nil, err
	}
	return p, nil
}

// maxStem is how much of the name of the file begins that of its partial: file
// systems have room for 255 bytes, mostly.
const maxStem = 200

// stem is what the names of all partials for path begin with.
func (p *partial) stem() string {
	base := filepath.Base(p.path)
	if len(base) > maxStem {
		base = strings.ToValidUTF8(base[:maxStem], "")
	}
	return base + "."
}

// name returns where the bytes are kept.
func (p *partial) name() string {
	return filepath.Join(filepath.Dir(p.path), fmt.Sprintf("%s%x%s", p.stem(), p.want.SHA256[:8], partialSuffix))
}

// open opens and locks the file. It leaves p.file nil if the one that it has
// locked was finished a moment before.
func (p *partial) open() error {
	f, err := os.OpenFile(p.name(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if err = disk.Lock(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	mine, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Lstat(f.Name()); err == nil && os.SameFile(mine, there) {
			p.file = f
			return nil
		}
	}
	_ = f.Close()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// write adds data to what is held.
func (p *partial) write(data []byte) error {
	if int64(len(data)) > p.want.Size-p.held {
		return fmt.Errorf("the server sends more than %d bytes", p.want.Size)
	}
	n, err := p.file.Write(data)
	p.sum.Write(data[:n])
	p.held += int64(n)
	return err
}

// right reports whether what is held is what is wanted.
func (p *partial) right() bool {
	return p.held == p.want.Size && fileapi.Digest(p.sum.Sum(nil)) == p.want.SHA256
}

// restart drops what is held.
func (p *partial) restart() error {
	p.held = 0
	p.sum.Reset()
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// finish gives the file its name: durable, at once. The lock goes with it.
func (p *partial) finish() error {
	err := p.file.Sync()
	if err = errors.Join(err, p.file.Close()); err != nil { // Windows renames no open file
		// Nobody knows what is on the disk, whatever a reader sees.
		return errors.Join(err, os.Remove(p.name()))
	}
	if err := os.Rename(p.name(), p.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(p.path))
	if err != nil {
		return err
	}
	p.sweep()
	return disk.Sync(dir)
}

// sweep removes what there is of other contents for the same path: nobody will
// ask for those any more. What another process works on stays.
func (p *partial) sweep() {
	entries, err := os.ReadDir(filepath.Dir(p.path))
	if err != nil {
		return
	}
	for _, e := range entries {
		key, ok := strings.CutPrefix(e.Name(), p.stem())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		key, ok = strings.CutSuffix(key, partialSuffix)
		if raw, err := hex.DecodeString(key); !ok || err != nil || len(raw) != 8 {
			continue
		}
		old := filepath.Join(filepath.Dir(p.path), e.Name())
		if f, err := os.OpenFile(old, os.O_RDWR, 0); err == nil {
			if disk.Lock(f) == nil {
				_ = os.Remove(old)
			}
			_ = f.Close()
		}
	}
}
