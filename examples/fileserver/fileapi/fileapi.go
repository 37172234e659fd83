// Package fileapi is the contract of the file server: its methods, what travels
// in them, and the errors that both sides know. Server and client import it.
package fileapi

import (
	"errors"
	"strconv"
	"time"

	"github.com/kith-go/kith"
)

// The methods.
var (
	// Stat describes the file of that name. The server reads the whole of a file
	// whose digest it does not know.
	Stat = kith.Unary[string, File]("files/Stat", kith.Idempotent(),
		kith.Doc("describe a file, with its digest"))

	// List gives the files whose names begin with the given text, without
	// digests, in the order of a walk.
	List = kith.ServerStream[string, File]("files/List",
		kith.Doc("list files by the beginning of their names"))

	// Get gives the bytes of a file from an offset to its end, in pieces.
	Get = kith.ServerStream[Range, []byte]("files/Get",
		kith.Doc("read a file from an offset"))

	// Put stores a file. The call's metadata is an [Upload]. The server answers
	// how much of it it holds; the caller sends the rest in pieces, and the
	// server says every now and then, and at the end, how far it has got.
	Put = kith.Bidi[[]byte, Held]("files/Put",
		kith.Doc("store a file, or go on with one that was begun"))

	// Remove removes the file of that name. It is not idempotent: the second
	// time there is no such file.
	Remove = kith.Unary[string, struct{}]("files/Remove",
		kith.Doc("remove a file"))

	// Watch tells what becomes of files, until the caller has enough.
	Watch = kith.ServerStream[WatchRequest, Event]("files/Watch",
		kith.Doc("tell of files that are added, changed or removed"))
)

// A Content says what bytes a file holds.
type Content struct {
	Size   int64
	SHA256 Digest `json:",omitzero"`
}

// A File describes a file of the server's. Lists and events have no digest, as
// that would mean to read every file.
type File struct {
	Name string
	Content
	Modified time.Time `json:",omitzero"`
}

// A Range is what Get is asked for: Content at Name, without its first Offset
// bytes. If the server has another content there, the call fails with
// [ErrChanged].
type Range struct {
	Name    string
	Content Content
	Offset  int64
}

// Held is what the server says in a Put. The first says with how many bytes to
// go on, each later one how many it has written. Done means that the file is
// whole, durable and visible under its name; it is the last.
type Held struct {
	Bytes int64
	Done  bool `json:",omitzero"`
}

// An Upload is what Put is about.
type Upload struct {
	Name string
	Content
}

// Metadata returns the upload as it travels with the call.
func (u Upload) Metadata() kith.Metadata {
	return kith.Metadata{
		"name": u.Name, "size": strconv.FormatInt(u.Size, 10), "sha256": u.SHA256.String(),
	}
}

// UploadFrom is the inverse of [Upload.Metadata]. It does not check the name.
func UploadFrom(md kith.Metadata) (Upload, error) {
	u := Upload{Name: md["name"]}
	var err error
	if u.Size, err = strconv.ParseInt(md["size"], 10, 64); err != nil || u.Size < 0 {
		return Upload{}, errors.New("metadata size: want a number of bytes")
	}
	if u.SHA256, err = ParseDigest(md["sha256"]); err != nil {
		return Upload{}, errors.New("metadata sha256: want 64 hexadecimal digits")
	}
	return u, nil
}

// A WatchRequest says which files to watch: those whose names begin with
// Prefix. With Snapshot, the files that exist come first.
type WatchRequest struct {
	Prefix   string
	Snapshot bool `json:",omitzero"`
}

// A Change is what an [Event] tells.
type Change string

// The changes.
const (
	Present Change = "present" // of a snapshot
	Ready   Change = "ready"   // everything from here on is news; File is empty
	Added   Change = "added"
	Changed Change = "changed"
	Removed Change = "removed" // File is how it was last seen
)

// An Event is one piece of news. A watcher that is slow gets what has become
// of each file in the end, not every step of it.
type Event struct {
	Change Change
	File   File `json:",omitzero"`
}
