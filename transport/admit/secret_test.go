package admit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kith-go/kith/transport/admit"
)

// goldenText is the text of goldenKey: what was written down once must be
// readable for good.
const goldenText = "kith_network_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp6kgib"

func goldenKey() (key [32]byte) {
	for i := range key {
		key[i] = byte(i)
	}
	return key
}

// keyText writes a key as docs/wire.md says, the version and a change of the
// checksum given.
func keyText(key [32]byte, version, flip byte) string {
	sum := sha256.Sum256(append([]byte("kith network key v1"), key[:]...))
	raw := append(key[:], sum[0]^flip, sum[1], version)
	return "kith_network_" + strings.ToLower(base32.StdEncoding.EncodeToString(raw))
}

func parseKey(t testing.TB, text string) admit.Secret {
	t.Helper()
	s, err := admit.ParseNetworkKey(text)
	if err != nil {
		t.Fatalf("ParseNetworkKey = %v", err)
	}
	return s
}

func TestNetworkKeyText(t *testing.T) {
	if got := keyText(goldenKey(), 1, 0); got != goldenText {
		t.Fatalf("the golden key is written %q, want %q", got, goldenText)
	}
	if got := parseKey(t, goldenText).Reveal(); got != goldenText {
		t.Errorf("Reveal() = %q, want %q", got, goldenText)
	}
	seen := make(map[string]bool)
	for range 100 {
		s := admit.NewNetworkKey()
		text := s.Reveal()
		if len(text) != 69 || seen[text] {
			t.Errorf("Reveal() = %d characters, seen before: %t, want 69 new ones", len(text), seen[text])
		}
		seen[text] = true
		if again := parseKey(t, text); !again.Equal(s) || !s.Equal(again) {
			t.Error("ParseNetworkKey(Reveal()) is another key")
		}
	}
}

func TestParseNetworkKeyRefuses(t *testing.T) {
	text := goldenText
	bad := map[string]string{
		"nothing":             "",
		"a passphrase":        "correct horse battery staple",
		"an ID":               alice.String(),
		"no prefix":           text[len("kith_network_"):],
		"upper case":          strings.ToUpper(text),
		"upper case body":     text[:13] + strings.ToUpper(text[13:]),
		"a space behind":      text + " ",
		"a line end behind":   text + "\n",
		"a line end inside":   text[:40] + "\n" + text[41:],
		"a space before":      " " + text,
		"twice":               text + text,
		"another version":     keyText(goldenKey(), 2, 0),
		"another checksum":    keyText(goldenKey(), 1, 1),
		"a key of zeros":      keyText([32]byte{}, 1, 0),
		"padding":             text[:68] + "=",
		"not ASCII":           text[:67] + "\u00e9",
		"a million letters":   "kith_network_" + strings.Repeat("a", 1<<20),
		"two characters swap": text[:30] + text[31:32] + text[30:31] + text[32:],
	}
	for n := range len(text) {
		bad[fmt.Sprintf("cut at %d", n)] = text[:n]
		other := "b"
		if text[n] == 'b' {
			other = "c"
		}
		bad[fmt.Sprintf("another letter at %d", n)] = text[:n] + other + text[n+1:]
	}
	for name, s := range bad {
		k, err := admit.ParseNetworkKey(s)
		if err == nil || !k.IsZero() {
			t.Errorf("%s: ParseNetworkKey = %v, %v, want an error", name, k, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "parse network key: ") || len(s) > 20 && strings.Contains(err.Error(), s[len(s)-8:]) {
			t.Errorf("%s: ParseNetworkKey = %q, want an error that does not quote the text", name, err)
		}
		if err := k.UnmarshalText([]byte(s)); err == nil || !k.IsZero() {
			t.Errorf("%s: UnmarshalText = %v, %v, want an error", name, k, err)
		}
	}
}

func FuzzParseNetworkKey(f *testing.F) {
	for _, s := range []string{"", goldenText, goldenText[:60], keyText([32]byte{1}, 2, 0), alice.String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := admit.ParseNetworkKey(text)
		if got := s.Reveal(); err == nil && got != text || err != nil && got != "" {
			t.Errorf("ParseNetworkKey(%q) = %q, %v", text, got, err)
		}
	})
}

func TestSecretEqual(t *testing.T) {
	a, b := admit.NewNetworkKey(), admit.NewNetworkKey()
	var none admit.Secret
	for _, tt := range []struct {
		a, b admit.Secret
		want bool
	}{
		{a, a, true},
		{a, parseKey(t, a.Reveal()), true},
		{a, b, false},
		{a, none, false},
		{none, a, false},
		{none, admit.Secret{}, true},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%v.Equal(%v) = %t, want %t", tt.a, tt.b, got, tt.want)
		}
	}
	if a.IsZero() || !none.IsZero() || none.Reveal() != "" {
		t.Errorf("IsZero() = %t of a key, %t of none, which reveals %q", a.IsZero(), none.IsZero(), none.Reveal())
	}
}

// TestDerive: the labels, and what a proof is made with, give unrelated keys.
func TestDerive(t *testing.T) {
	key := goldenKey()
	s := parseKey(t, goldenText)
	seen := make(map[[32]byte]string)
	for _, label := range []string{"", "a", "b", "discovery", "kith network proof v1"} {
		got := s.Derive(label)
		mac := hmac.New(sha256.New, key[:])
		mac.Write([]byte("kith network derive v1" + label))
		if want := [32]byte(mac.Sum(nil)); got != want {
			t.Errorf("Derive(%q) = %x, want %x", label, got, want)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("Derive(%q) = Derive(%q)", label, other)
		}
		seen[got] = label
		if got == admit.NewNetworkKey().Derive(label) {
			t.Errorf("Derive(%q) is the same for two keys", label)
		}
	}
	const golden = "1da0813e6ee5924cfda5af2d0989ac4f293e773765c8c81d1abfc8587b585326"
	if got := s.Derive("discovery"); hex.EncodeToString(got[:]) != golden {
		t.Errorf("Derive(%q) = %x, want %s", "discovery", got, golden)
	}
	wantPanic(t, "Derive of the zero Secret", func() { admit.Secret{}.Derive("x") })
}

func wantPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "admit: ") {
			t.Errorf("%s panicked with %q, want an explanation", what, text)
		}
	}()
	f()
}

// TestSecretNeverPrints looks for the key in whatever people print or log.
func TestSecretNeverPrints(t *testing.T) {
	key := sha256.Sum256([]byte("some key"))
	s := parseKey(t, keyText(key, 1, 0))
	policy := admit.All(admit.Pins(alice), admit.NetworkKey(s))
	type config struct {
		S admit.Secret
		v admit.Secret
		p admit.Policy
	}
	values := []any{
		s, &s,
		[]admit.Secret{s},
		map[string]any{"key": s},
		struct{ K admit.Secret }{s},
		config{s, s, policy},
		&config{s, s, policy},
		policy, admit.NetworkKey(s),
		fmt.Errorf("key %v", s),
	}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%t", "%p"} {
			wantNoKey(t, key, verb, fmt.Sprintf(verb, v))
		}
		var text bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
			slog.New(h).Info("key", "k", v)
		}
		wantNoKey(t, key, "slog", text.String())
		data, _ := json.Marshal(v)
		wantNoKey(t, key, "json.Marshal", string(data))
		data, _ = xml.Marshal(v)
		wantNoKey(t, key, "xml.Marshal", string(data))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != s.String() || len(got) != len("secret(12345678)") {
			t.Errorf("Sprintf(%q, secret) = %q, want %q", verb, got, s)
		}
	}
	if got := s.LogValue().String(); got != s.String() {
		t.Errorf("LogValue() = %q, want %q", got, s)
	}
	if got := fmt.Sprintf("%v", admit.Secret{}); got != "secret(none)" {
		t.Errorf("Sprint(zero) = %q, want %q", got, "secret(none)")
	}
	if a, b := s.String(), admit.NewNetworkKey().String(); a == b {
		t.Errorf("two keys print as %q", a)
	}
}

// wantNoKey looks for nine bytes of the key in every form that fmt has, for
// its text, and in base64.
func wantNoKey(t *testing.T, key [32]byte, how, text string) {
	t.Helper()
	part := key[8:17]
	forms := []string{string(part), base64.StdEncoding.EncodeToString(part[1:7]), keyText(key, 1, 0)[30:40]}
	for _, verb := range []string{"%d", "%#v", "%x", "%X", "% x", "% X", "%o", "%b", "%c", "%U", "%q"} {
		forms = append(forms, strings.Trim(fmt.Sprintf(verb, part), "[]{}'\""))
		forms = append(forms, strings.Trim(fmt.Sprintf(verb, [9]byte(part)), "[]{}'\""))
	}
	for _, form := range forms {
		form = strings.TrimPrefix(form, "[]byte{")
		if strings.Contains(text, form) {
			t.Errorf("%s of a secret shows it: %.200q", how, text)
			return
		}
	}
}

// TestSecretMarshal: a configuration takes a key in, and does not give it out.
func TestSecretMarshal(t *testing.T) {
	var cfg struct{ Network admit.Secret }
	if err := json.Unmarshal([]byte(`{"Network":"`+goldenText+`"}`), &cfg); err != nil || cfg.Network.Reveal() != goldenText {
		t.Errorf("json.Unmarshal = %v, %v, want the golden key", cfg, err)
	}
	if data, err := json.Marshal(cfg); err == nil || !strings.Contains(err.Error(), "Reveal") {
		t.Errorf("json.Marshal = %q, %v, want an error that names the remedy", data, err)
	}
}

func TestSaveAndLoadNetworkKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "network.key")
	if s, err := admit.LoadNetworkKey(path); !errors.Is(err, fs.ErrNotExist) || !s.IsZero() {
		t.Errorf("LoadNetworkKey(no file) = %v, %v, want %v", s, err, fs.ErrNotExist)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("LoadNetworkKey(no file) made %v, %v", left, err)
	}
	s := admit.NewNetworkKey()
	if err := s.Save(path); err != nil {
		t.Fatalf("Save = %v", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode != 0o600 {
		t.Errorf("Save made a file of mode %v, want -rw-------", mode)
	}
	if got, err := admit.LoadNetworkKey(path); err != nil || !got.Equal(s) {
		t.Errorf("LoadNetworkKey = %v, %v, want %v", got, err, s)
	}
	if err := admit.NewNetworkKey().Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Save over a file = %v, want %v", err, fs.ErrExist)
	}
	if got, err := admit.LoadNetworkKey(path); err != nil || !got.Equal(s) {
		t.Errorf("LoadNetworkKey after a second Save = %v, %v, want %v", got, err, s)
	}
	if err := (admit.Secret{}).Save(path + "2"); err == nil {
		t.Error("Save of the zero Secret = nil, want an error")
	}
	if err := s.Save(filepath.Join(t.TempDir(), "no", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Save in no folder = %v, want %v", err, fs.ErrNotExist)
	}
}

func TestLoadNetworkKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"empty": "", "cut": goldenText[:50], "garbage": strings.Repeat("\xa5", 100),
		"huge": strings.Repeat(goldenText, 10_000), "two": goldenText + "\n" + goldenText,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := admit.LoadNetworkKey(path)
		if err == nil || !s.IsZero() || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "eaudao") {
			t.Errorf("LoadNetworkKey(%s) = %v, %v, want an error with the path and without the text", name, s, err)
		}
	}
	if runtime.GOOS == "windows" {
		return // the mode says nothing there
	}
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte(" "+goldenText+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o602: false, 0o777: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := admit.LoadNetworkKey(path)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "want 0600") {
			t.Errorf("LoadNetworkKey(mode %04o) = %v, want ok %t", mode, err, ok)
		}
	}
}
