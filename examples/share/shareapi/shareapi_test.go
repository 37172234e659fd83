package shareapi_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/kith-go/kith/examples/share/shareapi"
)

// pattern returns n bytes that are the same everywhere.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7>>3 + i>>18)
	}
	return p
}

func outline(t testing.TB, p []byte) *shareapi.Outline {
	t.Helper()
	o, err := shareapi.Read(t.Context(), bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatalf("Read of %d bytes = %v", len(p), err)
	}
	return o
}

// A hash means the same bytes for ever: it must not change with the program.
func TestGolden(t *testing.T) {
	var got strings.Builder
	for _, n := range []int{0, 1, shareapi.MinChunk, shareapi.MinChunk + 1, 3*shareapi.MinChunk - 1} {
		o := outline(t, pattern(n))
		fmt.Fprintf(&got, "%d %s %s\n", n, o.Hash(), hex.EncodeToString(o.Encoded()))
	}
	want, err := os.ReadFile("testdata/outlines.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("outlines are\n%swant\n%s", got.String(), want)
	}
}

func TestOutline(t *testing.T) {
	p := pattern(2*shareapi.MinChunk + 5)
	o := outline(t, p)
	if o.Size() != int64(len(p)) || o.Chunks() != 3 {
		t.Fatalf("Read = %d bytes in %d chunks, want %d in 3", o.Size(), o.Chunks(), len(p))
	}
	for i := range o.Chunks() {
		at, n := o.Span(i)
		chunk := p[at : at+int64(n)]
		if !o.Check(i, chunk) {
			t.Errorf("Check(%d, its chunk) = false", i)
		}
		if o.Check(i, chunk[1:]) || o.Check(i, append(bytes.Clone(chunk), 0)) || o.Check((i+1)%3, chunk) {
			t.Errorf("Check of what is not a chunk = true")
		}
	}
	if _, err := shareapi.Read(t.Context(), bytes.NewReader(p), int64(len(p)+1)); err == nil {
		t.Error("Read of less than there should be = nil, want an error")
	}
	for _, size := range []int64{-1, shareapi.MaxSize + 1} {
		if _, err := shareapi.Read(t.Context(), bytes.NewReader(nil), size); err == nil {
			t.Errorf("Read of %d bytes = nil, want an error", size)
		}
	}
}

func TestChunkSize(t *testing.T) {
	for _, size := range []int64{0, 1, shareapi.MinChunk * shareapi.MaxSums, shareapi.MinChunk*shareapi.MaxSums + 1, 1 << 34, 1<<36 + 1, shareapi.MaxSize} {
		chunk := shareapi.ChunkSize(size)
		if chunk < shareapi.MinChunk || chunk > shareapi.MaxChunk || chunk*shareapi.MaxSums < size {
			t.Errorf("ChunkSize(%d) = %d", size, chunk)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a/b.c": true, "é ü": true, "a.": true,
		"": false, ".": false, "..": false, "a/../b": false, "/a": false, "a/": false, "a//b": false, ".a": false, "a/.b": false,
		"a\\b": false, "a\nb": false, "a\x1b[2J": false, "a\xff": false, "a\u202eb": false,
		strings.Repeat("a", shareapi.MaxName): true, strings.Repeat("a", shareapi.MaxName+1): false,
	} {
		if got := shareapi.CheckName(name); got != want {
			t.Errorf("CheckName(%q) = %t, want %t", name, got, want)
		}
	}
}

func TestListing(t *testing.T) {
	files := func(names ...string) []shareapi.File {
		var fs []shareapi.File
		for _, n := range names {
			fs = append(fs, shareapi.File{Name: n})
		}
		return fs
	}
	var many []shareapi.File
	for i := range shareapi.MaxPage + 1 {
		many = append(many, shareapi.File{Name: fmt.Sprintf("%04d", i)})
	}
	for what, tt := range map[string]struct {
		l    shareapi.Listing
		want bool
	}{
		"empty":       {shareapi.Listing{}, true},
		"in order":    {shareapi.Listing{Files: files("b", "c"), More: true}, true},
		"full":        {shareapi.Listing{Files: many[1:]}, false}, // digits come before "a"
		"not forward": {shareapi.Listing{Files: files("a")}, false},
		"twice":       {shareapi.Listing{Files: files("b", "b")}, false},
		"bad name":    {shareapi.Listing{Files: files("b", "c/../d")}, false},
		"bad size":    {shareapi.Listing{Files: []shareapi.File{{Name: "b", Size: -1}}}, false},
		"large":       {shareapi.Listing{Files: []shareapi.File{{Name: "b", Size: math.MaxInt64}}}, false},
		"no end":      {shareapi.Listing{More: true}, false},
	} {
		if got := tt.l.Check(shareapi.Page{After: "a"}); got != tt.want {
			t.Errorf("Check(%s) = %t, want %t", what, got, tt.want)
		}
	}
	if l := (shareapi.Listing{Files: many}); l.Check(shareapi.Page{}) {
		t.Errorf("Check of %d files = true", len(many))
	}
	if l := (shareapi.Listing{Files: many[1:]}); !l.Check(shareapi.Page{}) {
		t.Errorf("Check of %d files = false", len(many)-1)
	}
}

func TestHash(t *testing.T) {
	h := outline(t, []byte("x")).Hash()
	if got, err := shareapi.ParseHash(h.String()); got != h || err != nil {
		t.Errorf("ParseHash(%q) = %v, %v", h, got, err)
	}
	for _, s := range []string{"", "ab", h.String() + "0", strings.Repeat("g", 64)} {
		if _, err := shareapi.ParseHash(s); err == nil {
			t.Errorf("ParseHash(%q) = nil, want an error", s)
		}
	}
}

func FuzzParseOutline(f *testing.F) {
	for _, n := range []int{0, 1, shareapi.MinChunk + 1} {
		f.Add(outline(f, pattern(n)).Encoded())
	}
	f.Add([]byte{0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		o, err := shareapi.ParseOutline(p)
		if err != nil {
			return
		}
		if !bytes.Equal(o.Encoded(), p) || o.Size() < 0 || o.Size() > shareapi.MaxSize {
			t.Errorf("ParseOutline(%x) has size %d", p, o.Size())
		}
		total := int64(0)
		for i := range o.Chunks() {
			at, n := o.Span(i)
			if at != total || n <= 0 || n > shareapi.MaxChunk || o.Check(i, nil) {
				t.Fatalf("Span(%d) = %d, %d", i, at, n)
			}
			total += int64(n)
		}
		if total != o.Size() {
			t.Errorf("all chunks are %d bytes, want %d", total, o.Size())
		}
	})
}
