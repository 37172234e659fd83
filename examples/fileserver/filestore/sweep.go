package filestore

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// sweepEvery is how often what nobody has continued is looked for.
const sweepEvery = time.Hour

// sweepLoop removes what has waited for its rest for too long. It ends with
// ctx; Close waits for it.
func (s *Store) sweepLoop(ctx context.Context) {
	defer s.loops.Done()
	if s.lock == nil || s.cfg.Keep < 0 {
		return
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx, time.Now().Add(-s.cfg.Keep)); err != nil && ctx.Err() == nil {
			s.log.Warn("sweep failed", slog.String("err", err.Error()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep removes what nobody has written to since before.
func (s *Store) sweep(ctx context.Context, before time.Time) error {
	entries, err := fs.ReadDir(s.root.FS(), fileapi.TempDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !isUpload(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue // it went away, or is young
		}
		if err := s.uploads.drop(fileapi.TempDir + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.log.Info("what was never continued is removed", slog.String("path", e.Name()), slog.Int64("size", info.Size()))
	}
	return nil
}

// isUpload reports whether a name in the TempDir is one that pathOf gives.
func isUpload(name string) bool {
	key, err := hex.DecodeString(name)
	return err == nil && len(key) == 32
}

// drop removes an upload that nobody works on.
func (us *uploads) drop(path string) error {
	u := &upload{uploads: us, path: path, turn: make(chan struct{}, 1)}
	u.turn <- struct{}{} // never blocks: it is new
	us.mu.Lock()
	if us.open[path] != nil {
		us.mu.Unlock()
		return nil
	}
	us.open[path] = u // who comes now waits for the turn, and begins anew
	us.mu.Unlock()
	err := us.s.root.Remove(path)
	us.forget(path)
	u.give()
	return err
}
