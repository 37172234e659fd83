package admit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxSecretFile bounds what LoadNetworkKey reads.
const maxSecretFile = 4096

// LoadNetworkKey reads the Secret in the file at path, which [Secret.Save]
// wrote, or which holds the text of [Secret.Reveal] and white space. It
// refuses a file that others than its owner may read or write; on Windows,
// where the mode says nothing of that, it does not look.
//
// Unlike [kith.LoadKey] it makes no key where there is no file, and its error
// matches [io/fs.ErrNotExist]: a node with a key that nobody shares would look
// well and never find a peer.
func LoadNetworkKey(path string) (Secret, error) {
	s, err := readSecret(path)
	if err != nil {
		return Secret{}, fmt.Errorf("load network key: %w", err)
	}
	return s, nil
}

func readSecret(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return Secret{}, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return Secret{}, fmt.Errorf("%s: mode %04o lets others use the key, want 0600", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return Secret{}, err
	}
	s, err := parseSecret(strings.TrimSpace(string(data)))
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Save writes s to a new file at path with mode 0600, for [LoadNetworkKey]. The
// file gets its name when it is whole, so that nobody reads half a key. It
// replaces nothing: if there is a file, its error matches [io/fs.ErrExist]. The
// file system must have hard links.
func (s Secret) Save(path string) error {
	if err := s.save(path); err != nil {
		return fmt.Errorf("save network key: %w", err)
	}
	return nil
}

func (s Secret) save(path string) error {
	if s.IsZero() {
		return errSecretNone
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // CreateTemp sets 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(s.Reveal() + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path) // fails if there is a file, unlike a rename
}
