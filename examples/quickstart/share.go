package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
)

// What peers offer that have the file. Both may be called again where an outcome was lost.
var (
	have  = kith.Unary[struct{}, Receipt]("share/Have", kith.Idempotent())
	piece = kith.Unary[int64, []byte]("share/Piece", kith.Idempotent(), kith.Timeout(10*time.Second))
)

const pieceSize = 256 << 10

// An offer is a file that one peer offers.
type offer struct {
	file   *os.File
	served atomic.Int64 // pieces
}

func newOffer(h *kith.Handlers, path string) (*offer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	o := &offer{file: f}
	have.Handle(h, o.have)
	piece.Handle(h, o.piece)
	return o, nil
}

func (o *offer) have(context.Context, struct{}) (Receipt, error) {
	return digest(o.file)
}

func (o *offer) piece(_ context.Context, offset int64) ([]byte, error) {
	p := make([]byte, pieceSize)
	n, err := o.file.ReadAt(p, offset)
	if err != nil && err != io.EOF {
		return nil, err
	}
	o.served.Add(1)
	return p[:n], nil
}

// digest returns the size of a file and its SHA-256.
func digest(f *os.File) (Receipt, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(f, 0, 1<<62))
	return Receipt{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

// share has the third fetch the file from the other two. When half of it is there, the first
// is gone without a word; the second goes on alone, and nobody has to do anything for that.
func (t *trio) share(ctx context.Context, path string) (err error) {
	cleo := t.nodes[2]
	var want Receipt
	holders := 0
	for r := range kith.Gather(ctx, have, cleo, struct{}{}) { // all who offer it
		if r.Err != nil {
			return r.Err
		}
		want = r.Resp
		holders++
	}
	fmt.Printf("  %-10s %d peers have the file, SHA-256 %.8s...\n", "gather", holders, want.SHA256)
	into, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	start := time.Now()
	f := &fetch{from: cleo.Any(), into: into, size: want.Size, half: func() { _ = t.nodes[0].Close() }}
	if err := f.run(ctx); err != nil {
		return err
	}
	got, err := digest(into)
	if err != nil || got != want {
		return fmt.Errorf("the file arrived as %+v, want %+v: %w", got, want, err)
	}
	fmt.Printf("  %-10s cleo got %.1f MB in %v: %d pieces from ada, who was stopped half-way, %d from ben; verified\n",
		"share", float64(got.Size)/1e6, time.Since(start).Round(time.Millisecond),
		t.offer[0].served.Load(), t.offer[1].served.Load())
	return nil
}

// A fetch gets a file, several pieces at a time.
type fetch struct {
	from kith.Caller
	into *os.File
	size int64
	half func() // called once, when half of the pieces are asked for

	next   atomic.Int64 // the offset of the next piece
	failed atomic.Pointer[error]
}

func (f *fetch) run(ctx context.Context) error {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { f.fetchLoop(ctx) }) // ends with the file, or when one has failed
	}
	group.Wait()
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *fetch) fetchLoop(ctx context.Context) {
	for f.failed.Load() == nil {
		offset := f.next.Add(pieceSize) - pieceSize
		if offset >= f.size {
			return
		}
		if half := f.size / 2 / pieceSize * pieceSize; offset == half {
			f.half()
		}
		p, err := piece.Call(ctx, f.from, offset)
		if err == nil {
			_, err = f.into.WriteAt(p, offset)
		}
		if err != nil {
			f.failed.Store(&err)
		}
	}
}
