// Package shareapi is what the nodes of examples/share have in common: the
// methods, what a hash is a hash of, and the limits that everybody keeps.
//
// A file is cut into chunks. Its [Outline] has the SHA-256 of each, its [Hash] is that
// of the outline. So whoever knows a hash can tell a right outline from a wrong one,
// and then each chunk, whoever it comes from. The size of chunks follows from that of
// the file, so the same bytes have the same hash everywhere.
package shareapi

import (
	"io/fs"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kith-go/kith"
)

// Limits that both sides keep. What is beyond them is not offered, and not believed.
const (
	MinChunk = 256 << 10          // of a file that has more than one
	MaxChunk = 4 << 20            // bytes
	MaxSums  = 32 << 10           // chunks of a file
	MaxSize  = MaxChunk * MaxSums // bytes of a file: 128 GiB
	MaxFiles = 10_000             // that a node offers
	MaxPage  = 256                // files in one answer
	MaxName  = 1024               // bytes
)

// What a node offers. All of it may be asked twice.
var (
	// List gives the files of a node in the order of their names, a page at a time.
	List = kith.Unary[Page, Listing]("share/List", kith.Idempotent(), kith.MaxMessage(2<<20),
		kith.Timeout(20*time.Second), kith.Doc("a page of what the node offers"))
	// Has says under which name a node offers a content, or [ErrNotFound].
	Has = kith.Unary[Hash, File]("share/Has", kith.Idempotent(), kith.MaxMessage(16<<10),
		kith.Timeout(10*time.Second), kith.Doc("whether the node offers a content"))
	// GetOutline gives the encoded Outline of a content, or [ErrNotFound].
	GetOutline = kith.Unary[Hash, []byte]("share/Outline", kith.Idempotent(), kith.MaxMessage(maxOutline),
		kith.Timeout(20*time.Second), kith.Doc("the SHA-256 of each chunk of a content"))
	// GetChunk gives the bytes of one chunk, or [ErrNotFound].
	GetChunk = kith.Unary[Chunk, []byte]("share/Chunk", kith.Idempotent(), kith.MaxMessage(MaxChunk),
		kith.Timeout(30*time.Second), kith.Doc("one chunk of a content"))
)

// ErrNotFound says that a node does not offer a content, or not any more.
var ErrNotFound = kith.NewError(kith.NotFound, "no_such_content", "not offered here")

// A File is one that a node offers.
type File struct {
	Hash Hash
	Size int64
	Name string // slashes between its parts
}

// Check reports whether a File that came from outside keeps the rules.
func (f *File) Check() bool { return f.Size >= 0 && f.Size <= MaxSize && CheckName(f.Name) }

// A Page asks for the files whose names come after that one.
type Page struct{ After string }

// A Listing is at most [MaxPage] files; More says that others follow.
type Listing struct {
	Files []File
	More  bool
}

// Check reports whether a Listing that came from outside answers p: its files
// keep the rules, and each comes after the one before it.
func (l *Listing) Check(p Page) bool {
	after := p.After
	for i := range l.Files {
		if !l.Files[i].Check() || l.Files[i].Name <= after {
			return false
		}
		after = l.Files[i].Name
	}
	return len(l.Files) <= MaxPage && (len(l.Files) > 0 || !l.More)
}

// A Chunk names one chunk of a content.
type Chunk struct {
	Hash  Hash
	Index int
}

// CheckName reports whether a name can be one of a file that is offered: a
// relative path of printable characters with slashes between its parts, none of which
// begins with a dot.
func CheckName(name string) bool {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) || !fs.ValidPath(name) {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }) {
		return false
	}
	return name[0] != '.' && !strings.Contains(name, "/.")
}
