package fileclient_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
)

// pieces is a Get that answers with these, and then with err.
func pieces(err error, all ...[]byte) func(context.Context, fileapi.Range) iter.Seq2[[]byte, error] {
	return func(context.Context, fileapi.Range) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, p := range all {
				if !yield(p, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
			}
		}
	}
}

// A server that does not do what it says does not make a client take anything
// for the file.
func TestGetFromALiar(t *testing.T) {
	data, want := content(1000)
	other, _ := content(999)
	for what, tt := range map[string]struct {
		size int64
		get  func(context.Context, fileapi.Range) iter.Seq2[[]byte, error]
		want error // nil for any
	}{
		"negative size": {-1, pieces(nil, data), nil},
		"too much":      {1000, pieces(nil, data, data), nil},
		"too little":    {1000, pieces(nil, data[:10]), nil},
		"nothing":       {1000, pieces(nil), nil},
		"other bytes":   {1000, pieces(nil, other, other[:1]), fileapi.ErrDamaged},
		"always new":    {1000, pieces(fileapi.ErrChanged), fileapi.ErrChanged},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			var h kith.Handlers
			fileapi.Stat.Handle(&h, func(context.Context, string) (fileapi.File, error) {
				return fileapi.File{Name: "a", Content: fileapi.Content{Size: tt.size, SHA256: want.SHA256}}, nil
			})
			fileapi.Get.Handle(&h, tt.get)
			f.serve(&h)
			_, err := f.client(fileclient.Config{}).Get(t.Context(), "a", filepath.Join(f.own, "b"))
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Get of %s = %v, want %v", what, err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(f.own, "b")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Stat after %s = %v, want %v", what, err, fs.ErrNotExist)
			}
		})
	}
}

func TestPutToALiar(t *testing.T) {
	data, _ := content(1000)
	for what, put := range map[string]func(*kith.Duplex[fileapi.Held, []byte]) error{
		"ends at once":     func(*kith.Duplex[fileapi.Held, []byte]) error { return nil },
		"holds less":       func(d *kith.Duplex[fileapi.Held, []byte]) error { return d.Send(fileapi.Held{Bytes: -1}) },
		"holds more":       func(d *kith.Duplex[fileapi.Held, []byte]) error { return d.Send(fileapi.Held{Bytes: 1001}) },
		"ends before done": func(d *kith.Duplex[fileapi.Held, []byte]) error { return d.Send(fileapi.Held{Bytes: 1000}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			var h kith.Handlers
			fileapi.Put.Handle(&h, func(_ context.Context, d *kith.Duplex[fileapi.Held, []byte]) error { return put(d) })
			f.serve(&h)
			if got, err := f.client(fileclient.Config{}).Put(t.Context(), f.write(f.own, "a", data), "a"); err == nil {
				t.Errorf("Put to a server that %s = %v, nil, want an error", what, got)
			}
		})
	}
}

// A removal whose answer is lost is done, though the second try finds nothing.
func TestRemoveWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		there := map[string]bool{"a": true}
		var h kith.Handlers
		fileapi.Remove.Handle(&h, func(_ context.Context, name string) (struct{}, error) {
			if !there[name] {
				return struct{}{}, fileapi.ErrNotFound
			}
			delete(there, name)
			f.cut()
			return struct{}{}, nil
		})
		f.serve(&h)
		c := f.client(fileclient.Config{})
		if err := c.Remove(t.Context(), "a"); err != nil || there["a"] {
			t.Errorf("Remove(a) whose answer is lost = %v, want nil", err)
		}
		if err := c.Remove(t.Context(), "a"); !errors.Is(err, fileapi.ErrNotFound) {
			t.Errorf("Remove(a) again = %v, want %v", err, fileapi.ErrNotFound)
		}
	})
}

// A transfer that a stopping server turns away waits for the next one.
func TestUnavailableIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		tries := 0
		var h kith.Handlers
		fileapi.Remove.Handle(&h, func(context.Context, string) (struct{}, error) {
			if tries++; tries < 20 {
				return struct{}{}, fileapi.ErrEnding
			}
			return struct{}{}, nil
		})
		f.serve(&h)
		start := time.Now()
		if err := f.client(fileclient.Config{}).Remove(t.Context(), "a"); err != nil || tries != 20 {
			t.Errorf("Remove = %v after %d tries, want nil after 20", err, tries)
		}
		if took := time.Since(start); took < time.Second {
			t.Errorf("20 tries took %v, want pauses between them", took)
		}
	})
}
