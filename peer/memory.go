package peer

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kith-go/kith"
)

// A memory keeps peers that were Up in Config.RememberFile. Nil keeps nothing.
// It is used by one goroutine at a time.
type memory struct {
	path  string
	saved time.Time
	last  []byte // what the file has
}

// A memo is what the file says of one peer.
type memo struct {
	ID    kith.ID   `json:"id"`
	Addrs []string  `json:"addrs"`
	Seen  time.Time `json:"seen"`
}

const (
	maxMemos    = 4096
	maxMemoFile = 4 << 20
	maxMemoAddr = 4 // addresses of one peer
	saveEvery   = 5 * time.Second
)

// rememberLocked notes an address that led to the peer.
func (p *pair) rememberLocked(addr string) {
	p.remembered = slices.DeleteFunc(p.remembered, func(a string) bool { return a == addr })
	p.remembered = append([]string{addr}, p.remembered...)
	p.remembered = p.remembered[:min(len(p.remembered), maxMemoAddr)]
}

// recall reads the file. One that cannot be read is reported, and replaced in time.
func (n *Node) recall() {
	if n.cfg.RememberFile == "" {
		return
	}
	n.mu.Lock()
	n.remember = &memory{path: n.cfg.RememberFile, saved: time.Now()}
	n.mu.Unlock()
	memos, err := readMemos(n.cfg.RememberFile)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.cfg.Logger.Warn("cannot read the remembered peers", slog.String("err", err.Error()))
		}
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range memos {
		if m.ID.IsZero() || m.ID == n.id || len(m.Addrs) == 0 {
			continue
		}
		p := n.pairLocked(m.ID)
		if p == nil {
			return
		}
		p.remembered = m.Addrs[:min(len(m.Addrs), maxMemoAddr)]
		p.hope = time.Now().Add(hopeful)
		n.settleLocked(p)
	}
}

func readMemos(path string) ([]memo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxMemoFile {
		return nil, errors.New("file of remembered peers is too large")
	}
	p, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var memos []memo
	if err := json.Unmarshal(p, &memos); err != nil {
		return nil, err
	}
	return memos[:min(len(memos), maxMemos)], nil
}

func (m *memory) saveSometimes(n *Node, now time.Time) {
	if m != nil && now.Sub(m.saved) >= saveEvery {
		m.save(n)
		m.saved = now
	}
}

// save writes the file if it has changed.
func (m *memory) save(n *Node) {
	if m == nil {
		return
	}
	p, err := json.MarshalIndent(n.memos(), "", "\t")
	if err == nil && slices.Equal(p, m.last) {
		return
	}
	if err == nil {
		err = replaceFile(m.path, p)
	}
	if err != nil {
		n.warn.say("cannot remember peers", slog.String("err", err.Error()))
		return
	}
	m.last = p
}

// memos returns what to remember: peers that were connected, the latest first.
func (n *Node) memos() []memo {
	n.mu.Lock()
	defer n.mu.Unlock()
	memos := []memo{}
	for _, p := range n.pairs {
		if addrs := p.addrsLocked(); p.described != [8]byte{} && len(addrs) > 0 {
			memos = append(memos, memo{ID: p.id, Addrs: addrs[:min(len(addrs), maxMemoAddr)], Seen: p.since.Round(time.Second).UTC()})
		}
	}
	slices.SortFunc(memos, func(a, b memo) int {
		if c := b.Seen.Compare(a.Seen); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return memos[:min(len(memos), maxMemos)]
}

// replaceFile writes a file so that there is the old one or the new one, whole, whatever
// happens.
func replaceFile(path string, p []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
