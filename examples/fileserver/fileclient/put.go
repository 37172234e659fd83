package fileclient

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/disk"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// pieceSize is how much of a file goes into one message.
const pieceSize = 64 << 10

// Put stores the local file at path under a name. It reads the file twice:
// once for its digest, by which the server knows what it holds of it, and once
// to send it. The end of ctx ends the transfer; what the server holds stays
// there for a while.
func (c *Client) Put(ctx context.Context, path, name string) (fileapi.Content, error) {
	if err := fileapi.CheckName(name); err != nil {
		return fileapi.Content{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return fileapi.Content{}, err
	}
	defer func() { _ = f.Close() }()
	content, err := c.read(ctx, f, name)
	if err != nil {
		return fileapi.Content{}, err
	}
	p := &putting{
		c: c, file: f, upload: fileapi.Upload{Name: name, Content: content},
		meter: meter{c: c, name: name, size: content.Size},
	}
	damaged := false
	for {
		err := c.persist(ctx, func() (bool, error) { return p.attempt(ctx) })
		if errors.Is(err, fileapi.ErrDamaged) && !damaged {
			damaged = true // what the server held was; it has dropped that
			continue
		}
		return content, err
	}
}

// read returns the content of the file to be put.
func (c *Client) read(ctx context.Context, f *os.File, name string) (fileapi.Content, error) {
	info, err := f.Stat()
	if err != nil {
		return fileapi.Content{}, err
	}
	if !info.Mode().IsRegular() {
		return fileapi.Content{}, fmt.Errorf("%s is not a regular file", f.Name())
	}
	sum := sha256.New()
	r := io.Reader(f)
	if c.cfg.Progress != nil {
		r = &counter{r: f, tell: func(n int64) {
			c.cfg.Progress(Progress{Name: name, Doing: Reading, Bytes: n, Size: max(n, info.Size())})
		}}
	}
	size, err := disk.Digest(ctx, sum, r)
	return fileapi.Content{Size: size, SHA256: fileapi.Digest(sum.Sum(nil))}, err
}

// A counter tells how much was read, now and then and at the end.
type counter struct {
	r       io.Reader
	n, told int64
	tell    func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n-c.told >= tellEvery || err == io.EOF {
		c.told = c.n
		c.tell(c.n)
	}
	return n, err
}

// putting is one Put, over all its attempts.
type putting struct {
	c      *Client
	file   *os.File
	upload fileapi.Upload
	meter  meter
	held   int64 // the most that the server has ever said to hold
}

// attempt sends what the server does not hold, in one call. It reports whether
// the server holds more than it ever did.
func (p *putting) attempt(ctx context.Context) (progress bool, err error) {
	d, err := fileapi.Put.Call(ctx, p.c.cfg.Caller, kith.WithMetadata(p.upload.Metadata()))
	if err != nil {
		return false, err
	}
	defer d.Close()
	first, err := d.Recv()
	if err != nil {
		return false, ended(err)
	}
	if first.Done {
		p.tell(p.upload.Size)
		return true, nil
	}
	if first.Bytes < 0 || first.Bytes > p.upload.Size {
		return false, fmt.Errorf("the server says it holds %d bytes of %d", first.Bytes, p.upload.Size)
	}
	before := p.held
	p.tell(first.Bytes)
	send := &sending{p: p, d: d, from: first.Bytes, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	p.meter.begin()
	go send.sendLoop(ctx)
	err = p.listen(d)
	cancel()
	_ = d.Close() // ends sendLoop, where it is blocked
	<-send.done
	if send.err != nil {
		err = send.err
	}
	return p.held > before, err
}

// listen hears how far the server has got, to the end.
func (p *putting) listen(d *kith.Duplex[[]byte, fileapi.Held]) error {
	for {
		held, err := d.Recv()
		if err != nil {
			return ended(err)
		}
		p.tell(held.Bytes)
		if held.Done {
			return nil
		}
	}
}

func (p *putting) tell(held int64) {
	p.held = max(p.held, held)
	p.meter.at(held)
}

// errEnded is the error of a call that ended well, and too early.
var errEnded = errors.New("the server ended the call too early")

func ended(err error) error {
	if err == io.EOF {
		return errEnded
	}
	return err
}

// sending is the sending half of one attempt.
type sending struct {
	p    *putting
	d    *kith.Duplex[[]byte, fileapi.Held]
	from int64
	err  error         // what went wrong on this side; set before done closes
	done chan struct{} // closed by sendLoop
}

// sendLoop sends the file from an offset on. It ends there, when the call has
// ended, or with ctx; attempt waits for it.
func (s *sending) sendLoop(ctx context.Context) {
	defer close(s.done)
	left := io.NewSectionReader(s.p.file, s.from, s.p.upload.Size-s.from)
	piece := make([]byte, min(pieceSize, left.Size()))
	for at := s.from; at < s.p.upload.Size; {
		n, err := left.Read(piece)
		at += int64(n)
		if err == io.EOF && at < s.p.upload.Size {
			err = errors.New("it has become shorter")
		}
		if err != nil && err != io.EOF {
			s.err = fmt.Errorf("read %s: %w", s.p.file.Name(), err)
			_ = s.d.Close() // lets attempt hear that it is over
			return
		}
		if s.d.Send(piece[:n]) != nil {
			return // the call has ended: Recv tells how
		}
		if sleep(ctx, s.p.meter.ahead(n)) != nil {
			return
		}
	}
	_ = s.d.CloseSend() // the server knows when it has all, too
}
