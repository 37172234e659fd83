// Package filestore keeps the files of one directory for the clients of a
// [kith.Handlers]: it is the server's half of package fileapi.
//
// It never leaves the directory, follows no symbolic link, and shows a file
// under its name only when the file is whole and durable.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// A Config configures [Open]. Its zero value is good.
type Config struct {
	// MaxSize is the size in bytes of the largest file that is taken. If zero,
	// 64 GiB. If negative, no limit.
	MaxSize int64

	// Keep is how long what has arrived of a file waits for the rest. If zero,
	// a week. If negative, for ever.
	Keep time.Duration

	// Rescan is how often the directory is looked through for changes that did
	// not come through the Store, while somebody watches. If zero, 2 s. If
	// negative, never.
	Rescan time.Duration

	// MaxWatchers is how many Watch calls may go on at once; further ones are
	// refused. If zero, 64. If negative, no limit.
	MaxWatchers int

	// Logger gets what is wrong with the directory. If nil, nothing is logged.
	Logger *slog.Logger
}

const (
	defaultMaxSize     = 64 << 30
	defaultKeep        = 7 * 24 * time.Hour
	defaultRescan      = 2 * time.Second
	defaultMaxWatchers = 64
)

func (c Config) withDefaults() Config {
	setDefault(&c.MaxSize, defaultMaxSize)
	setDefault(&c.Keep, defaultKeep)
	setDefault(&c.Rescan, defaultRescan)
	setDefault(&c.MaxWatchers, defaultMaxWatchers)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// A Store keeps the files of a directory. Get one from [Open], offer it with
// [Store.Register], and Close it when no call of it runs any more. It runs two
// goroutines.
type Store struct {
	cfg  Config
	log  *slog.Logger
	root *os.Root
	temp fs.FileInfo // of fileapi.TempDir; nil if the directory is read-only
	lock *os.File    // in there; nil if the directory is read-only

	sums    sums
	hub     hub
	uploads uploads

	stop  context.CancelFunc // ends the loops
	loops sync.WaitGroup
}

// Open returns the Store of a directory, which must exist. What is on its way
// is kept in a hidden directory there, [fileapi.TempDir]. Two Stores of one
// directory would spoil each other's files, so the second fails with an error
// matching [disk.ErrLocked]. A directory that cannot be written to is served
// to readers.
func Open(dir string, cfg Config) (*Store, error) {
	s, err := open(dir, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.loops.Add(2)
	go s.hub.scanLoop(ctx, &s.loops)
	go s.sweepLoop(ctx)
	return s, nil
}

func open(dir string, cfg Config) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg.withDefaults(), root: root}
	s.log = s.cfg.Logger
	s.sums.init()
	s.uploads.init(s)
	s.hub.init(s.scan, s.cfg.Rescan, s.cfg.MaxWatchers)
	err = s.openTemp()
	if err != nil && disk.IsReadOnly(err) {
		s.log.Warn("the directory is served read-only", slog.String("err", err.Error()))
		return s, nil
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// lockFile is what keeps a second Store out.
const lockFile = fileapi.TempDir + "/lock"

// openTemp makes and locks the directory for what is on its way.
func (s *Store) openTemp() error {
	if err := s.root.Mkdir(fileapi.TempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := s.root.Lstat(fileapi.TempDir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is in the way: not a directory", filepath.Join(s.root.Name(), fileapi.TempDir))
	}
	lock, err := s.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := disk.Lock(lock); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", s.root.Name(), err), lock.Close())
	}
	s.temp, s.lock = info, lock
	return nil
}

// Register offers the Store's methods, those of package fileapi.
func (s *Store) Register(h *kith.Handlers) {
	fileapi.Stat.Handle(h, s.stat)
	fileapi.List.Handle(h, s.list)
	fileapi.Get.Handle(h, s.get)
	fileapi.Put.Handle(h, s.put)
	fileapi.Remove.Handle(h, s.remove)
	fileapi.Watch.Handle(h, s.watch)
}

// Close ends the Store's goroutines and lets go of the directory. The server
// must have been shut down before.
func (s *Store) Close() error {
	s.stop()
	s.loops.Wait()
	return s.release()
}

func (s *Store) release() error {
	if s.lock != nil {
		_ = s.lock.Close()
	}
	return s.root.Close()
}
