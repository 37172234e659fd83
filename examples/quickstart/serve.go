package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"strings"

	"github.com/kith-go/kith"
)

// handlers are what the server offers.
func handlers() *kith.Handlers {
	var h kith.Handlers
	greet.Handle(&h, func(_ context.Context, name string) (Greeting, error) {
		if name == "" {
			return Greeting{}, errUnknown // declared in the contract, so the caller sees it
		}
		return Greeting{Text: "Hello, " + name + "!"}, nil
	})
	count.Handle(&h, func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return // the caller has enough
				}
			}
		}
	})
	sum.Handle(&h, func(_ context.Context, numbers iter.Seq2[int, error]) (total int, err error) {
		for n, err := range numbers {
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	})
	shout.Handle(&h, func(_ context.Context, d *kith.Duplex[string, string]) error {
		for word, err := range d.All() {
			if err != nil {
				return err
			}
			if err := d.Send(strings.ToUpper(word)); err != nil {
				return err
			}
		}
		return nil
	})
	note.Handle(&h, func(context.Context, string) error { return nil })
	upload.Handle(&h, receive)
	whoami.Handle(&h, func(ctx context.Context, _ struct{}) (string, error) {
		// The server asks back, over the connection that the call came by.
		name, err := askName.Call(ctx, kith.CallerFrom(ctx), struct{}{})
		if err != nil {
			return "", err
		}
		return name + ", proven to be " + kith.PeerFrom(ctx).ID.Short(), nil
	})
	return &h
}

// receive takes a file in pieces. Each is valid until the next.
func receive(_ context.Context, pieces iter.Seq2[[]byte, error]) (Receipt, error) {
	var r Receipt
	digest := sha256.New()
	for p, err := range pieces {
		if err != nil {
			return Receipt{}, err
		}
		digest.Write(p)
		r.Size += int64(len(p))
	}
	r.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return r, nil
}

// callbacks are what the client offers to the server.
func callbacks() *kith.Handlers {
	var h kith.Handlers
	askName.Handle(&h, func(context.Context, struct{}) (string, error) { return "the quickstart", nil })
	return &h
}
