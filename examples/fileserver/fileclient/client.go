// Package fileclient moves files to and from a file server, whatever happens
// to the connection meanwhile: it is the client's half of package fileapi.
//
// A transfer that is cut goes on where it was when there is a server again, in
// this process or in a later one that is asked for the same. A file that was
// got appears under its name only when it is whole, has the SHA-256 that the
// server said, and is durable.
package fileclient

import (
	"time"

	"github.com/kith-go/kith"
)

// A Config configures [New]. Only Caller must be set.
type Config struct {
	// Caller makes the calls. A client of package client connects again by
	// itself, which a transfer that is cut needs.
	Caller kith.Caller

	// Retry is how long a transfer goes on without progress after a connection
	// was lost or could not be made. If zero, a minute. If negative, until its
	// ctx ends.
	Retry time.Duration

	// Rate is at most how many bytes are moved in a second. If zero or
	// negative, no limit.
	Rate int64

	// Progress, if not nil, is told how far a transfer has got. It is called
	// from one goroutine at a time, which it holds up.
	Progress func(Progress)

	// Retrying, if not nil, is told why what was tried did not work, when it is
	// going to be tried again.
	Retrying func(err error)
}

// Progress is how far a transfer has got.
type Progress struct {
	Name  string
	Doing Doing
	// Bytes of Size are done, those of earlier attempts included.
	Bytes, Size int64
}

// Doing is what a transfer is about.
type Doing string

// What a transfer is about, in this order.
const (
	Reading Doing = "reading" // the digest of the local file, to be put
	Moving  Doing = "moving"  // bytes over the network
)

// A Client moves files. Get one from [New]. Its methods may be called from any
// number of goroutines. Goroutines that it starts end with the call that they
// are for.
type Client struct{ cfg Config }

// New returns a Client. The configuration is copied.
func New(cfg Config) *Client {
	if cfg.Retry == 0 {
		cfg.Retry = time.Minute
	}
	return &Client{cfg}
}

// A meter tells the progress of one transfer, and holds it up where it is
// faster than it may be.
type meter struct {
	c     *Client
	name  string
	size  int64
	since time.Time // the attempt under way began
	moved int64     // bytes since then
}

// begin is called when an attempt begins: time in which there was no
// connection is not made up for.
func (m *meter) begin() { m.since, m.moved = time.Now(), 0 }

func (m *meter) at(bytes int64) {
	if m.c.cfg.Progress != nil {
		m.c.cfg.Progress(Progress{Name: m.name, Doing: Moving, Bytes: bytes, Size: m.size})
	}
}

// ahead returns how long to wait after n more bytes were moved.
func (m *meter) ahead(n int) time.Duration {
	if m.c.cfg.Rate <= 0 {
		return 0
	}
	m.moved += int64(n)
	due := time.Duration(float64(m.moved) / float64(m.c.cfg.Rate) * float64(time.Second))
	return due - time.Since(m.since)
}
