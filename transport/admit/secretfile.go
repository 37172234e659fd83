package admit

import (
	"errors"
	"fmt"
	"io"
	"os"
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

// Save writes s to a new file at path with mode 0600, for [LoadNetworkKey]. It
// replaces nothing: if there is a file, its error matches [io/fs.ErrExist].
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
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.Reveal() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path) // what is in it is of no use
	}
	return err
}
