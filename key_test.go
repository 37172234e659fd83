package kith_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/kith-go/kith"
)

func TestLoadKeyCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	k, err := kith.LoadKey(path)
	if err != nil {
		t.Fatalf("LoadKey(%q) = %v, want no error", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode != 0o600 {
		t.Errorf("LoadKey(%q) made a file of mode %v, want -rw-------", path, mode)
	}
	again, err := kith.LoadKey(path)
	if err != nil || again.ID() != k.ID() {
		t.Errorf("LoadKey(%q) again = %v, %v, want %v", path, again, err, k)
	}
	message := []byte("message")
	sig, err := again.Sign(nil, message, crypto.Hash(0))
	if err != nil || !ed25519.Verify(k.Public().(ed25519.PublicKey), message, sig) {
		t.Errorf("Sign(%q) = %x, %v, want a signature of the first key", message, sig, err)
	}
	if _, err := x509.ParsePKCS8PrivateKey(pemBytes(t, path)); err != nil {
		t.Errorf("ParsePKCS8PrivateKey(the file) = %v, want a key that others read too", err)
	}
}

func pemBytes(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		t.Fatalf("%s = %q, want one PEM block PRIVATE KEY", path, data)
	}
	return block.Bytes
}

func TestLoadKeyAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "node.key")
	var ids [16]kith.ID
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			k, err := kith.LoadKey(path)
			if err != nil {
				t.Errorf("LoadKey(%q) = %v, want no error", path, err)
				return
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("LoadKey(%q) = %v and %v, want one key for all", path, ids[0], id)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("ReadDir = %v, %v, want the key only", left, err)
	}
}

func TestLoadKeyRefusesLooseModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the mode says nothing on Windows")
	}
	path := filepath.Join(t.TempDir(), "node.key")
	if _, err := kith.LoadKey(path); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode fs.FileMode
		ok   bool
	}{
		{0o600, true},
		{0o400, true},
		{0o644, false},
		{0o640, false},
		{0o604, false},
		{0o660, false},
		{0o602, false},
		{0o777, false},
	} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := kith.LoadKey(path)
		if (err == nil) != tt.ok {
			t.Errorf("LoadKey(mode %04o) = %v, want ok %t", tt.mode, err, tt.ok)
		}
		for _, part := range []string{"load key: ", path, fmt.Sprintf("%04o", tt.mode), "want 0600"} {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("LoadKey(mode %04o) = %q, want text with %q", tt.mode, err, part)
			}
		}
	}
}

func TestLoadKeyRefusesOtherFiles(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	_, priv, _ := ed25519.GenerateKey(rand.Reader)
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	block := func(typ string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no PEM block"},
		{"garbage", bytes.Repeat([]byte{0xa5}, 100), "no PEM block"},
		{"huge", bytes.Repeat([]byte("A"), 1<<20), "no PEM block"},
		{"bare DER", der, "no PEM block"},
		{"cut", block("PRIVATE KEY", der)[:60], "no PEM block"},
		{"other type", block("EC PRIVATE KEY", der), "no PEM block"},
		{"broken DER", block("PRIVATE KEY", der[:len(der)-1]), "not a PKCS #8 key"},
		{"RSA", block("PRIVATE KEY", rsaDER), "*rsa.PrivateKey"},
	} {
		path := filepath.Join(t.TempDir(), "node.key")
		if err := os.WriteFile(path, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := kith.LoadKey(path)
		if err == nil || k != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("LoadKey(%s) = %v, %v, want an error with the path and %q", tt.name, k, err, tt.want)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, tt.data) {
			t.Errorf("LoadKey(%s) changed the file", tt.name)
		}
	}
	missing := filepath.Join(t.TempDir(), "no", "node.key")
	if k, err := kith.LoadKey(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadKey(%q) = %v, %v, want an error matching fs.ErrNotExist", missing, k, err)
	}
}

// signer is a key of the test's making.
type signer struct{ pub crypto.PublicKey }

func (s signer) Public() crypto.PublicKey { return s.pub }

func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("signed elsewhere"), nil
}

func TestKeyFromSigner(t *testing.T) {
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	k, err := kith.KeyFromSigner(priv)
	if err != nil || !pub.Equal(k.Public()) || k.ID() != kith.ID(pub) {
		t.Errorf("KeyFromSigner(%x) = %v, %v, want a key of ID %v", pub, k, err, kith.ID(pub))
	}
	k, err = kith.KeyFromSigner(signer{pub})
	if err != nil {
		t.Fatalf("KeyFromSigner(%x) = %v, want no error", pub, err)
	}
	if sig, err := k.Sign(nil, []byte("m"), crypto.Hash(0)); string(sig) != "signed elsewhere" || err != nil {
		t.Errorf("Sign() = %q, %v, want the signer's answer", sig, err)
	}
	for _, bad := range []crypto.PublicKey{
		nil, &rsa.PublicKey{}, []byte(pub),
		ed25519.PublicKey{},
		ed25519.PublicKey(pub[:31]),
		ed25519.PublicKey(unhex(t, weakKeys[2])),
	} {
		if k, err := kith.KeyFromSigner(signer{bad}); err == nil || k != nil {
			t.Errorf("KeyFromSigner(%v) = %v, %v, want an error", bad, k, err)
		}
	}
}

// TestKeyNeverPrints looks for the secret in whatever people print or log.
func TestKeyNeverPrints(t *testing.T) {
	_, priv, _ := ed25519.GenerateKey(rand.Reader)
	k, err := kith.KeyFromSigner(priv)
	if err != nil {
		t.Fatal(err)
	}
	type config struct {
		K *kith.Key
		v kith.Key
	}
	values := []any{
		k, *k, &k,
		[]*kith.Key{k},
		[]kith.Key{*k},
		map[string]any{"key": *k},
		struct{ K kith.Key }{*k},
		config{k, *k},
		&config{k, *k}, fmt.Errorf("key %v", k),
	}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U"} {
			wantNoSecret(t, priv, verb, fmt.Sprintf(verb, v))
		}
		var text bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
			slog.New(h).Info("key", "k", v)
		}
		wantNoSecret(t, priv, "slog", text.String())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got, want := fmt.Sprintf(verb, k), "key("+k.ID().String()+")"; got != want {
			t.Errorf("Sprintf(%q, key) = %q, want %q", verb, got, want)
		}
	}
	var none *kith.Key
	if got := fmt.Sprint(none); got != "key(nil)" {
		t.Errorf("Sprint(nil key) = %q, want %q", got, "key(nil)")
	}
	if got := none.LogValue().String(); got != "key(nil)" {
		t.Errorf("LogValue() of a nil key = %q, want %q", got, "key(nil)")
	}
	if got := k.LogValue().String(); got != fmt.Sprint(k) {
		t.Errorf("LogValue() = %q, want %q", got, fmt.Sprint(k))
	}
}

// wantNoSecret looks for eight bytes of the seed in every form that fmt has,
// and in base64.
func wantNoSecret(t *testing.T, priv ed25519.PrivateKey, how, text string) {
	t.Helper()
	part := []byte(priv.Seed()[8:17])
	forms := []string{string(part), base64.StdEncoding.EncodeToString(part[1:7])}
	for _, verb := range []string{"%d", "%#v", "%x", "%X", "% x", "% X", "%o", "%b", "%c", "%U", "%q"} {
		forms = append(forms, strings.Trim(fmt.Sprintf(verb, part), "[]{}'\""))
		forms = append(forms, strings.Trim(fmt.Sprintf(verb, [9]byte(part)), "[]{}'\""))
	}
	for _, form := range forms {
		form = strings.TrimPrefix(form, "[]byte{")
		if strings.Contains(text, form) {
			t.Errorf("%s of a key shows the secret: %.200q", how, text)
			return
		}
	}
}
