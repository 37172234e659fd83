package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kith-go/kith/examples/share/shareapi"
)

// maxSums bounds the sums of all files that are kept: 64 MiB of them, which is
// that of 512 GiB in small chunks.
const maxSums = 2 << 20

// maxTold bounds what the log is told of at a time.
const maxTold = 1000

// publishEvery is how often what was read so far becomes known.
const publishEvery = time.Second

// scanLoop looks for changes. It ends with Close, which waits for it.
func (f *Folder) scanLoop() {
	first := true
	for {
		before := f.offered.Load()
		unsettled := f.scan(before)
		if f.ctx.Err() != nil {
			return
		}
		if now := f.offered.Load(); first || !same(before, now) {
			f.cfg.Changed(now.summary())
		}
		first = false
		if !f.pause(unsettled) {
			return
		}
	}
}

// minPause keeps the loop from spinning on a file that never settles.
const minPause = 100 * time.Millisecond

// pause waits until it is time to look again, and reports false if it never is.
func (f *Folder) pause(unsettled bool) bool {
	wait := f.cfg.Rescan
	if unsettled && (wait < 0 || wait > f.cfg.Settle) {
		wait = max(f.cfg.Settle, minPause)
	}
	var again <-chan time.Time // never
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-again:
		return true
	case <-f.doubt:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// same reports whether two offers are of the same files.
func same(a, b *offer) bool {
	if len(a.files) != len(b.files) {
		return false
	}
	for i := range a.files {
		if a.files[i] != b.files[i] {
			return false
		}
	}
	return true
}

// A scan is one look at the directory.
type scan struct {
	f         *Folder
	before    *offer
	files     []*file
	sums      int
	unsettled bool
	seen      map[string]struct{} // what was visited
	told      map[string]string
	published time.Time
	read      bool // something since published
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// scan makes the offer what is in the directory, and reports whether files were left out as
// they are just being written.
func (f *Folder) scan(before *offer) (unsettled bool) {
	s := &scan{f: f, before: before, seen: make(map[string]struct{}), told: make(map[string]string), published: time.Now()}
	err := fs.WalkDir(f.root.FS(), ".", s.visit)
	if f.ctx.Err() != nil {
		return false
	}
	if err != nil && !errors.Is(err, errEnough) {
		s.skip(".", err.Error())
	}
	f.told = s.told
	f.offered.Store(newOffer(s.files))
	return s.unsettled
}

// visit takes in one entry of the walk.
func (s *scan) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case s.f.ctx.Err() != nil:
		return s.f.ctx.Err()
	case err != nil:
		s.skip(name, err.Error())
		return nil
	case name == ".":
		return nil
	case strings.HasPrefix(d.Name(), "."):
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case !d.Type().IsRegular():
		return nil
	case !shareapi.CheckName(name):
		s.skip(name, "not a name that can be offered")
		return nil
	case len(s.files) == shareapi.MaxFiles:
		s.skip(".", fmt.Sprintf("more than %d files", shareapi.MaxFiles))
		return errEnough
	}
	e, err := s.look(name)
	s.seen[name] = struct{}{}
	switch {
	case errors.Is(err, errEnough):
		s.skip(".", "too much to keep the sums of")
		return err
	case err != nil && s.f.ctx.Err() == nil:
		s.skip(name, err.Error())
	case e != nil:
		s.files = append(s.files, e)
		s.sums += e.outline.Chunks()
	}
	s.publish()
	return nil
}

// look returns the file of a name, as it was or read anew, nil if it is not to
// be offered now.
func (s *scan) look(name string) (*file, error) {
	info, err := s.f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if e := s.before.find(name); e != nil && !e.stale.Load() && alike(e.info, info) {
		return e, nil
	}
	if age := time.Since(info.ModTime()); age >= 0 && age < s.f.cfg.Settle {
		s.unsettled = true
		return nil, nil
	}
	if int64(s.sums)+info.Size()/shareapi.ChunkSize(info.Size()) >= maxSums {
		return nil, errEnough
	}
	s.read = true
	e, err := s.f.digest(name)
	if errors.Is(err, errChanged) {
		s.unsettled = true
		return nil, nil
	}
	return e, err
}

var errChanged = errors.New("it changes while it is read")

// digest reads a file.
func (f *Folder) digest(name string) (*file, error) {
	opened, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }() // it was only read
	before, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	o, err := shareapi.Read(f.ctx, opened, before.Size())
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errChanged
	}
	if err != nil {
		return nil, err
	}
	after, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	if !alike(before, after) {
		return nil, errChanged
	}
	return &file{File: shareapi.File{Hash: o.Hash(), Size: o.Size(), Name: name}, outline: o, info: before}, nil
}

// open opens a regular file for reading. os.Root keeps names inside of the directory; this
// refuses what it lets pass, links inside.
func (f *Folder) open(name string) (*os.File, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, errChanged
	}
	opened, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := opened.Stat(); err != nil || !os.SameFile(before, info) {
		_ = opened.Close()
		return nil, errors.Join(err, errChanged) // something has taken its place
	}
	return opened, nil
}

// alike reports whether two looks at a file show nothing that tells it has
// changed.
func alike(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// publish makes known what was read so far, now and then, as it can take long. What
// has not been visited yet stays as it was.
func (s *scan) publish() {
	if !s.read || time.Since(s.published) < publishEvery {
		return
	}
	s.published, s.read = time.Now(), false
	files := slices.Clone(s.files)
	for _, e := range s.before.files {
		if _, seen := s.seen[e.Name]; !seen && len(files) < shareapi.MaxFiles {
			files = append(files, e)
		}
	}
	s.f.offered.Store(newOffer(files))
}

// skip logs why something is not offered, once as long as the reason is the same.
func (s *scan) skip(name, why string) {
	if len(s.told) == maxTold {
		return
	}
	s.told[name] = why
	if s.f.told[name] != why {
		s.f.log.Warn("not offered", slog.String("name", name), slog.String("why", why))
	}
}
