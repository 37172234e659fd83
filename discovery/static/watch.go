package static

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// A watcher follows the file. It is used by one goroutine at a time.
type watcher struct {
	d *Discovery

	read   bool              // the file was read before
	info   fs.FileInfo       // of the file when it was last read
	stale  bool              // info cannot tell: the file may change without showing it
	sum    [sha256.Size]byte // of what was read last
	taken  [sha256.Size]byte // of what was judged last
	judged error             // what was wrong with that
	wrong  string            // what is wrong with the file, as logged
}

// watchLoop looks at the file again and again.
func (w *watcher) watchLoop(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-w.d.done:
			return
		}
		timer.Reset(w.look())
	}
}

// sooner is the part of an Interval after which a file that is being written is looked at again.
const sooner = 4

// look takes in what the file says, if that is new. It returns when to look again, zero for never.
//
// A file that is written in place can be met half done. So something new counts when it is there
// twice in a row; only the first time of all it counts at once, as there is nothing to keep.
func (w *watcher) look() time.Duration {
	p, err := w.readFile()
	if err != nil {
		w.fault(err)
		return max(0, w.d.cfg.Interval)
	}
	if p == nil {
		return w.d.cfg.Interval
	}
	sum := sha256.Sum256(p)
	settled := sum == w.sum || !w.read
	w.sum = sum
	if !settled {
		w.stale = true
		return max(w.d.cfg.Interval/sooner, 1)
	}
	if !w.read || sum != w.taken {
		w.read, w.taken = true, sum
		w.judged = w.take(p)
	}
	if w.judged != nil {
		w.fault(w.judged)
	} else if w.wrong != "" {
		w.wrong = ""
		w.d.cfg.Logger.Info("static: the list of nodes can be read again", "file", w.d.cfg.File)
	}
	return max(0, w.d.cfg.Interval)
}

// take makes p the list, unless it is wrong.
func (w *watcher) take(p []byte) error {
	entries, err := parseFile(p)
	if err != nil {
		return err
	}
	l, err := newList(w.d.fixed, entries)
	if err != nil {
		return err
	}
	w.d.replace(l)
	return nil
}

// fault logs what is wrong, unless it was logged last. So there is at most a line for each look at the file.
func (w *watcher) fault(err error) {
	if text := err.Error(); text != w.wrong {
		w.wrong = text
		w.d.cfg.Logger.Warn("static: the list of nodes stays as it was", "file", w.d.cfg.File, "err", text)
	}
}

// coarse is how far apart two changes of a file may be and bear the same time, on any file system.
const coarse = 2 * time.Second

// readFile returns what the file holds, or nil if it is as it was when last read.
func (w *watcher) readFile() ([]byte, error) {
	info, err := os.Stat(w.d.cfg.File)
	if err != nil {
		w.info = nil
		return nil, err
	}
	if !info.Mode().IsRegular() { // to open a pipe would block
		return nil, fmt.Errorf("%s is not a regular file", w.d.cfg.File)
	}
	if w.info != nil && !w.stale && os.SameFile(info, w.info) &&
		info.ModTime().Equal(w.info.ModTime()) && info.Size() == w.info.Size() {
		return nil, nil
	}
	f, err := os.Open(w.d.cfg.File)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	p, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(p) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", w.d.cfg.File, maxFile)
	}
	w.info, w.stale = info, time.Since(info.ModTime()) < coarse
	return append([]byte{}, p...), nil // never nil
}
