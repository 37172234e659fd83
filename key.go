package kith

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
)

// A Key is the private half of an [ID]. Get one from [NewKey], [LoadKey] or
// [KeyFromSigner]. It is immutable and may be used from any number of
// goroutines. It prints as its ID only, in every format.
type Key struct {
	// signer is a pointer so that a Key that was copied, or that sits in an
	// unexported field, where fmt does not call Format, prints as an address.
	signer *crypto.Signer
	id     ID
}

func newKey(s crypto.Signer, id ID) *Key { return &Key{signer: &s, id: id} }

// maxKeyFile bounds what LoadKey reads.
const maxKeyFile = 4096

// NewKey makes a key from the system's random source.
func NewKey() *Key {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("kith: random source failed: " + err.Error()) // crypto/rand never returns an error
	}
	return newKey(priv, ID(pub))
}

// KeyFromSigner makes a key of an Ed25519 signer, such as one kept in
// hardware. The signer must be safe for concurrent use. It refuses a signer
// whose public key is not a good Ed25519 key.
func KeyFromSigner(s crypto.Signer) (*Key, error) {
	pub, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key of type %T, want ed25519.PublicKey", s.Public())
	}
	id, err := IDFromPublicKey(pub)
	if err != nil {
		return nil, err
	}
	return newKey(s, id), nil
}

// LoadKey reads the key in the file at path (PKCS #8 in PEM). If there is no
// such file, it makes a key and writes it with mode 0600; of several processes
// that do so at once, all get the same key. It refuses a file that others than
// its owner may read or write; on Windows, where the mode says nothing of
// that, it does not look.
func LoadKey(path string) (*Key, error) {
	k, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeNewKey(path); err == nil {
			k, err = readKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	return k, nil
}

func readKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s: mode %04o lets others use the key, want 0600", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: no PEM block of type PRIVATE KEY", path)
	}
	priv, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: not a PKCS #8 key", path) // the cause could quote key bytes
	}
	signer, ok := priv.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: key of type %T, want ed25519.PrivateKey", path, priv)
	}
	return KeyFromSigner(signer)
}

// writeNewKey makes path hold a new key, or leaves what another process put
// there first. The key gets its name only when it is whole.
func writeNewKey(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(*NewKey().signer)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // CreateTemp sets 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	err = pem.Encode(tmp, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err = os.Link(tmp.Name(), path); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(tmp.Name(), path) // a file system without hard links
}

// ID returns the key's public half.
func (k *Key) ID() ID { return k.id }

// Public implements [crypto.Signer]; the result is an [ed25519.PublicKey].
func (k *Key) Public() crypto.PublicKey { return k.id.PublicKey() }

// Sign implements [crypto.Signer] with plain Ed25519: digest is the whole
// message, opts.HashFunc must be zero, and random is not used.
func (k *Key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return (*k.signer).Sign(random, digest, opts)
}

// Format implements [fmt.Formatter]: whatever the verb, it writes the ID and
// never the secret.
func (k *Key) Format(f fmt.State, _ rune) {
	if k == nil {
		fmt.Fprint(f, "key(nil)")
		return
	}
	fmt.Fprintf(f, "key(%s)", k.id)
}

// LogValue implements [slog.LogValuer] with the ID.
func (k *Key) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }
