package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kith-go/kith"
)

// tour makes a call of every kind through c.
func tour(ctx context.Context, c kith.Caller, path string) error {
	for _, stop := range []struct {
		name string
		run  func(context.Context, kith.Caller) (string, error)
	}{
		{"greet", callGreet},
		{"count", callCount},
		{"sum", callSum},
		{"shout", callShout},
		{"note", callNote},
		{"call back", callBack},
		{"error", callError},
		{"file", func(ctx context.Context, c kith.Caller) (string, error) { return sendFile(ctx, c, path) }},
	} {
		start := time.Now()
		text, err := stop.run(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", stop.name, err)
		}
		fmt.Printf("  %-10s %s in %v\n", stop.name, text, time.Since(start).Round(time.Microsecond))
	}
	return nil
}

func callGreet(ctx context.Context, c kith.Caller) (string, error) {
	g, err := greet.Call(ctx, c, "Ada")
	return fmt.Sprintf("%q", g.Text), err
}

func callCount(ctx context.Context, c kith.Caller) (string, error) {
	var got []int
	for n, err := range count.Call(ctx, c, 1000) {
		if err != nil {
			return "", err
		}
		if got = append(got, n); len(got) == 5 {
			break // cancels the call; the server stops counting
		}
	}
	return fmt.Sprintf("%v of 1000, then enough", got), nil
}

func callSum(ctx context.Context, c kith.Caller) (string, error) {
	d, err := sum.Call(ctx, c)
	if err != nil {
		return "", err
	}
	defer d.Close()
	for n := range 101 {
		if err := d.Send(n); err != nil {
			return "", err
		}
	}
	total, err := d.CloseAndRecv()
	return fmt.Sprintf("of 0 to 100 is %d", total), err
}

func callShout(ctx context.Context, c kith.Caller) (string, error) {
	d, err := shout.Call(ctx, c)
	if err != nil {
		return "", err
	}
	defer d.Close()
	var heard []string
	for _, word := range []string{"both", "ways", "at", "once"} {
		if err := d.Send(word); err != nil {
			return "", err
		}
		answer, err := d.Recv()
		if err != nil {
			return "", err
		}
		heard = append(heard, answer)
	}
	return fmt.Sprint(heard), nil
}

func callNote(ctx context.Context, c kith.Caller) (string, error) {
	return "handed on, no answer expected", note.Call(ctx, c, "one way")
}

func callBack(ctx context.Context, c kith.Caller) (string, error) {
	who, err := whoami.Call(ctx, c, struct{}{})
	return fmt.Sprintf("the server asked, and knows this client as %s", who), err
}

func callError(ctx context.Context, c kith.Caller) (string, error) {
	_, err := greet.Call(ctx, c, "")
	if !errors.Is(err, errUnknown) || !kith.Remote(err) {
		return "", fmt.Errorf("got %w, want %w", err, errUnknown)
	}
	return fmt.Sprintf("%q recognised by errors.Is", err), nil
}

// sendFile streams a file to the server and compares digests.
func sendFile(ctx context.Context, c kith.Caller, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	d, err := upload.Call(ctx, c)
	if err != nil {
		return "", err
	}
	defer d.Close()
	start := time.Now()
	digest := sha256.New()
	piece := make([]byte, 64<<10)
	for {
		n, err := f.Read(piece)
		if n > 0 {
			digest.Write(piece[:n])
			if err := d.Send(piece[:n]); err != nil {
				break // the answer says why
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	r, err := d.CloseAndRecv()
	if err != nil {
		return "", err
	}
	want := hex.EncodeToString(digest.Sum(nil))
	if r.SHA256 != want {
		return "", fmt.Errorf("%s arrived with SHA-256 %s, want %s", path, r.SHA256, want)
	}
	rate := float64(r.Size) / 1e6 / time.Since(start).Seconds()
	return fmt.Sprintf("%s: %.1f MB at %.0f MB/s, SHA-256 %s... verified", filepath.Base(path), float64(r.Size)/1e6, rate, want[:8]), nil
}
