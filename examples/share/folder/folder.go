// Package folder is the offering half of examples/share: the files of a
// directory, by the hash of what they contain. It notices what changes there, and
// never passes on bytes that are not what was asked for.
package folder

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/shareapi"
)

// A Config configures [Open].
type Config struct {
	// Rescan is how often to look for changes. If zero, 2 seconds. If negative, once.
	Rescan time.Duration

	// Settle is how long a file must have been left alone to be offered: one that is just
	// being written is not worth reading. If zero, a second. If negative, no time.
	Settle time.Duration

	// Changed is called by the Folder's goroutine when what is offered has changed, and
	// after the first look. If nil, nobody is told.
	Changed func(Summary)

	// Logger gets what cannot be read or offered. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Summary says how much a Folder offers.
type Summary struct {
	Files int
	Bytes int64
}

// A Folder offers the regular files of a directory and those below it, but none whose name, or a
// part of it, begins with a dot, and at most [shareapi.MaxFiles]. It follows no symbolic links. Get one
// from [Open]; its methods may be called from any number of goroutines. It runs one
// goroutine, which Close ends.
type Folder struct {
	root *os.Root
	cfg  Config
	log  *slog.Logger

	offered atomic.Pointer[offer]
	turns   chan struct{} // a token for each chunk that is being read
	doubt   chan struct{} // cap 1: a file is not what it was, look at once

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	loop   sync.WaitGroup

	told map[string]string // what the log has of each file that is not offered; scanLoop's
}

// An offer is what there is at one time. It does not change.
type offer struct {
	files  []*file // in the order of their names
	byHash map[shareapi.Hash]*file
}

// A file is one that is offered.
type file struct {
	shareapi.File
	outline *shareapi.Outline
	info    fs.FileInfo // when it was read
	stale   atomic.Bool // it was found to be something else
}

// Open begins to offer a directory. What is in it becomes known as it is read, which takes
// its time.
func Open(dir string, cfg Config) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	cfg.Rescan = cmp.Or(cfg.Rescan, 2*time.Second)
	cfg.Settle = cmp.Or(cfg.Settle, time.Second)
	if cfg.Changed == nil {
		cfg.Changed = func(Summary) {}
	}
	f := &Folder{
		root: root, cfg: cfg, log: cfg.Logger, turns: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		doubt: make(chan struct{}, 1), told: make(map[string]string),
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.offered.Store(newOffer(nil))
	f.loop.Go(f.scanLoop)
	return f, nil
}

// Close ends the looking for changes. Handlers that run fail.
func (f *Folder) Close() error {
	f.cancel()
	f.loop.Wait()
	return f.root.Close()
}

// Register adds the methods of package shareapi to h.
func (f *Folder) Register(h *kith.Handlers) {
	shareapi.List.Handle(h, f.list)
	shareapi.Has.Handle(h, f.has)
	shareapi.GetOutline.Handle(h, f.outline)
	shareapi.GetChunk.Handle(h, f.chunk)
}

// Summary says how much is offered now.
func (f *Folder) Summary() Summary { return f.offered.Load().summary() }

// newOffer takes files, not in order.
func newOffer(files []*file) *offer {
	slices.SortFunc(files, func(a, b *file) int { return strings.Compare(a.Name, b.Name) })
	o := &offer{files: files, byHash: make(map[shareapi.Hash]*file, len(files))}
	for _, e := range files {
		if o.byHash[e.Hash] == nil {
			o.byHash[e.Hash] = e
		}
	}
	return o
}

func (o *offer) summary() Summary {
	s := Summary{Files: len(o.files)}
	for _, e := range o.files {
		s.Bytes += e.Size
	}
	return s
}

func (o *offer) find(name string) *file {
	i, ok := slices.BinarySearchFunc(o.files, name, func(e *file, name string) int { return strings.Compare(e.Name, name) })
	if !ok {
		return nil
	}
	return o.files[i]
}

// list serves shareapi.List.
func (f *Folder) list(_ context.Context, p shareapi.Page) (shareapi.Listing, error) {
	files := f.offered.Load().files
	at, found := slices.BinarySearchFunc(files, p.After, func(e *file, name string) int { return strings.Compare(e.Name, name) })
	if found {
		at++
	}
	files = files[at:]
	l := shareapi.Listing{Files: []shareapi.File{}, More: len(files) > shareapi.MaxPage}
	for _, e := range files[:min(len(files), shareapi.MaxPage)] {
		l.Files = append(l.Files, e.File)
	}
	return l, nil
}

// get returns the file of a hash.
func (f *Folder) get(h shareapi.Hash) (*file, error) {
	if e := f.offered.Load().byHash[h]; e != nil && !e.stale.Load() {
		return e, nil
	}
	return nil, shareapi.ErrNotFound
}

// has serves shareapi.Has.
func (f *Folder) has(_ context.Context, h shareapi.Hash) (shareapi.File, error) {
	e, err := f.get(h)
	if err != nil {
		return shareapi.File{}, err
	}
	return e.File, nil
}

// outline serves shareapi.GetOutline.
func (f *Folder) outline(_ context.Context, h shareapi.Hash) ([]byte, error) {
	e, err := f.get(h)
	if err != nil {
		return nil, err
	}
	return e.outline.Encoded(), nil
}

// chunk serves shareapi.GetChunk. A file that was changed since it was read is
// found out here, if not before.
func (f *Folder) chunk(ctx context.Context, c shareapi.Chunk) ([]byte, error) {
	e, err := f.get(c.Hash)
	if err != nil {
		return nil, err
	}
	if c.Index < 0 || c.Index >= e.outline.Chunks() {
		return nil, shareapi.ErrNotFound.WithMessage("there is no chunk %d", c.Index)
	}
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p, err := f.read(e, c.Index)
	switch {
	case err == nil && e.outline.Check(c.Index, p):
		return p, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errChanged) && !errors.Is(err, io.EOF):
		return nil, err // it may go well later; the caller sees kith.Internal, the log has it
	}
	e.stale.Store(true)
	select {
	case f.doubt <- struct{}{}:
	default:
	}
	return nil, shareapi.ErrNotFound
}

// read returns what chunk i of a file is now.
func (f *Folder) read(e *file, i int) ([]byte, error) {
	opened, err := f.open(e.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }() // it was only read
	offset, length := e.outline.Span(i)
	p := make([]byte, length)
	_, err = opened.ReadAt(p, offset)
	return p, err
}
