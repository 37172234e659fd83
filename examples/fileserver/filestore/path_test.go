package filestore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/filestore"
)

// methods call each method with a name, and return its error.
var methods = map[string]func(ctx context.Context, c kith.Caller, name string) error{
	"Stat": func(ctx context.Context, c kith.Caller, name string) error {
		_, err := fileapi.Stat.Call(ctx, c, name)
		return err
	},
	"Get": func(ctx context.Context, c kith.Caller, name string) error {
		_, err := get(ctx, c, fileapi.Range{Name: name, Content: fileapi.Content{Size: 10}})
		return err
	},
	"Put": func(ctx context.Context, c kith.Caller, name string) error {
		data, want := content(10)
		_, err := put(ctx, c, fileapi.Upload{Name: name, Content: want}, data)
		return err
	},
	"Remove": func(ctx context.Context, c kith.Caller, name string) error {
		_, err := fileapi.Remove.Call(ctx, c, name)
		return err
	},
	"List": func(ctx context.Context, c kith.Caller, name string) error {
		_, err := list(ctx, c, name+"/x")
		return err
	},
	"Watch": func(ctx context.Context, c kith.Caller, name string) error {
		for _, err := range fileapi.Watch.Call(ctx, c, fileapi.WatchRequest{Prefix: name + "/x"}) {
			return err // the first event
		}
		return nil
	},
}

// No name leads out of the directory, or into the Store's own.
func TestNamesThatLeave(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c := f.client()
	outside := filepath.Join(filepath.Dir(f.dir), "outside")
	if err := os.WriteFile(outside, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.write("a", nil)
	for _, name := range []string{
		"..", "../outside", "/abs", outside, "a/../../outside", "a/..", "a/../a", "./a", "a//b", `..\outside`, `a\b`, "a\x00b", "a\nb",
		".partial", ".partial/x", ".partial/lock", ".PARTIAL/lock", "./.partial/lock",
		strings.Repeat("a", 256), strings.Repeat("a/", 600) + "b",
	} {
		for method, call := range methods {
			if err := call(t.Context(), c, name); !errors.Is(err, fileapi.ErrName) {
				t.Errorf("%s(%q) = %v, want %v", method, name, err, fileapi.ErrName)
			}
		}
	}
	if got, err := os.ReadFile(outside); string(got) != "0123456789" || err != nil {
		t.Errorf("the file outside has %q, %v, want it as it was", got, err)
	}
	if got, err := list(t.Context(), c, ""); got != "a" || err != nil {
		t.Errorf("List() = %q, %v, want a", got, err)
	}
	if n := f.partials(); n != 0 {
		t.Errorf("%d partials are left, want 0", n)
	}
}

// Symbolic links are not followed, wherever they lead, and not replaced.
func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege on Windows")
	}
	f := newFixture(t, filestore.Config{})
	c, ctx := f.client(), t.Context()
	outside := t.TempDir()
	data, _ := content(10)
	f.write("dir/file", data)
	if err := os.WriteFile(filepath.Join(outside, "file"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{
		"out": outside, "outfile": filepath.Join(outside, "file"), "up": "..", "in": "dir", "infile": "dir/file",
		"own": fileapi.TempDir, "dangling": "nothing", "loop": "loop",
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for link := range links {
		for _, name := range []string{link, link + "/file"} {
			for _, method := range []string{"Stat", "Get", "Put", "Remove"} {
				if err := methods[method](ctx, c, name); !errors.Is(err, fileapi.ErrNotFile) {
					t.Errorf("%s(%q) = %v, want %v", method, name, err, fileapi.ErrNotFile)
				}
			}
		}
		if err := methods["List"](ctx, c, link); !errors.Is(err, fileapi.ErrNotFile) {
			t.Errorf("List(%q) = %v, want %v", link+"/x", err, fileapi.ErrNotFile)
		}
	}
	if got, err := list(ctx, c, ""); got != "dir/file" || err != nil {
		t.Errorf("List() = %q, %v, want what is no link: dir/file", got, err)
	}
	for link, to := range links {
		if got, err := os.Readlink(filepath.Join(f.dir, link)); got != to || err != nil {
			t.Errorf("Readlink(%q) = %q, %v, want %q", link, got, err, to)
		}
	}
	entries, err := os.ReadDir(outside)
	if len(entries) != 1 || err != nil {
		t.Errorf("outside there are %v, %v, want one file", entries, err)
	}
}

// A file system that takes another spelling for the Store's own directory does
// not let anybody in: a second name for it stands in for one here.
func TestOwnDirectoryByAnotherName(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	if err := os.Rename(filepath.Join(f.dir, fileapi.TempDir), filepath.Join(f.dir, "PARTIA~1")); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"Stat", "Get", "Put", "Remove"} {
		if err := methods[method](t.Context(), f.client(), "PARTIA~1/lock"); !errors.Is(err, fileapi.ErrName) {
			t.Errorf("%s(PARTIA~1/lock) = %v, want %v", method, err, fileapi.ErrName)
		}
	}
}

// Where the path of a name goes through a file, or ends at a directory, there
// is no file.
func TestNotAFile(t *testing.T) {
	f := newFixture(t, filestore.Config{})
	c := f.client()
	f.write("dir/file", nil)
	for _, name := range []string{"dir", "dir/file/x", "dir/file/x/y"} {
		for _, method := range []string{"Stat", "Get", "Put", "Remove"} {
			if err := methods[method](t.Context(), c, name); !errors.Is(err, fileapi.ErrNotFile) {
				t.Errorf("%s(%q) = %v, want %v", method, name, err, fileapi.ErrNotFile)
			}
		}
	}
	for _, name := range []string{"none", "dir/none", "none/x"} {
		for _, method := range []string{"Stat", "Get", "Remove"} {
			if err := methods[method](t.Context(), c, name); !errors.Is(err, fileapi.ErrNotFound) {
				t.Errorf("%s(%q) = %v, want %v", method, name, err, fileapi.ErrNotFound)
			}
		}
	}
	// Names on the disk that nobody can ask for are not listed.
	if runtime.GOOS == "linux" {
		f.write("bad\nname", nil)
		f.write("bad\\name", nil)
		got, err := list(t.Context(), c, "")
		if names := strings.Fields(got); !slices.Equal(names, []string{"dir/file"}) || err != nil {
			t.Errorf("List() = %q, %v, want dir/file", names, err)
		}
	}
}
