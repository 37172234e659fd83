package fileapi_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

var badNames = []string{
	"", ".", "..", "/", "/abs", "a/", "a//b", "./a", "a/.", "../a", "a/../b", "a/../../b", "a/..",
	`a\b`, `..\a`, "a\x00b", "a\nb", "a\x1b[2Jb", "a\xffb", "a\u200cb", "a\u00a0b", "a\u202eb",
	".partial", ".partial/x", ".PARTIAL/x", ".Partial",
	strings.Repeat("a", 256), strings.Repeat("a/", 32) + "a", strings.Repeat(strings.Repeat("a", 200)+"/", 5) + strings.Repeat("b", 100),
}

func TestCheckName(t *testing.T) {
	for _, name := range badNames {
		if err := fileapi.CheckName(name); !errors.Is(err, fileapi.ErrName) {
			t.Errorf("CheckName(%q) = %v, want %v", name, err, fileapi.ErrName)
		}
	}
	for _, name := range []string{
		"a", "a b", "a/b/c", "...", ".a", "a..b", "-rf", "~", "é", "日本語", "a/.partial/b", ".partials", strings.Repeat("a", 255),
	} {
		if err := fileapi.CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for prefix, want := range map[string]bool{
		"": true, "a": true, "a/": true, "a/b": true, "/": false, "a//": false, "../": false, "..": false, ".partial/": false,
	} {
		if err := fileapi.CheckPrefix(prefix); (err == nil) != want {
			t.Errorf("CheckPrefix(%q) = %v, want good: %t", prefix, err, want)
		}
	}
}

// What CheckName lets pass is good for every use of it.
func FuzzCheckName(f *testing.F) {
	for _, name := range badNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if fileapi.CheckName(name) != nil {
			return
		}
		if !fs.ValidPath(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00\n\x1b") || len(name) > 1024 {
			t.Errorf("CheckName(%q) = nil, want an error", name)
		}
	})
}

func TestUploadMetadata(t *testing.T) {
	u := fileapi.Upload{Name: "a/b", Content: fileapi.Content{Size: 1 << 40, SHA256: fileapi.Digest{1, 2, 3}}}
	if got, err := fileapi.UploadFrom(u.Metadata()); got != u || err != nil {
		t.Errorf("UploadFrom(%v) = %v, %v, want %v", u.Metadata(), got, err, u)
	}
	for key, value := range map[string]string{"size": "-1", "sha256": strings.Repeat("g", 64)} {
		for _, v := range []string{"", value} {
			md := maps.Clone(u.Metadata())
			md[key] = v
			if got, err := fileapi.UploadFrom(md); err == nil {
				t.Errorf("UploadFrom(%v) = %v, want an error", md, got)
			}
		}
	}
	if _, err := fileapi.UploadFrom(kith.Metadata{}); err == nil {
		t.Error("UploadFrom(nothing) = nil, want an error")
	}
}

func TestFileAsJSON(t *testing.T) {
	f := fileapi.File{Name: "a", Content: fileapi.Content{Size: 3}}
	const want = `{"Name":"a","Size":3}`
	data, err := json.Marshal(f)
	if string(data) != want || err != nil {
		t.Errorf("Marshal(%v) = %s, %v, want %s", f, data, err, want)
	}
	f.SHA256 = fileapi.Digest{0xab}
	data, err = json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var got fileapi.File
	if err := json.Unmarshal(data, &got); got != f || err != nil {
		t.Errorf("Unmarshal(%s) = %v, %v, want %v", data, got, err, f)
	}
	if err := json.Unmarshal([]byte(`{"SHA256":"ab"}`), &got); err == nil {
		t.Error("Unmarshal of a short digest = nil, want an error")
	}
}
