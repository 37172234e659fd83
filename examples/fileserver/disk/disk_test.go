package disk_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/kith-go/kith/examples/fileserver/disk"
)

func TestLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no locks on Windows")
	}
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	a, b := open(), open()
	if err := disk.Lock(a); err != nil {
		t.Fatalf("Lock(first) = %v, want nil", err)
	}
	if err := disk.Lock(b); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("Lock(second) = %v, want %v", err, disk.ErrLocked)
	}
	_ = a.Close()
	if err := disk.Lock(b); err != nil {
		t.Errorf("Lock(second) once the first is closed = %v, want nil", err)
	}
	_ = b.Close()
	if err := disk.Lock(b); err == nil {
		t.Error("Lock(closed) = nil, want an error")
	}
}

func TestDigest(t *testing.T) {
	text := strings.Repeat("kith", 100_000)
	sum := sha256.New()
	n, err := disk.Digest(t.Context(), sum, strings.NewReader(text))
	if want := sha256.Sum256([]byte(text)); n != int64(len(text)) || err != nil || [32]byte(sum.Sum(nil)) != want {
		t.Errorf("Digest = %d, %v, %x, want %d and %x", n, err, sum.Sum(nil), len(text), want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := disk.Digest(ctx, sum, strings.NewReader(text)); !errors.Is(err, context.Canceled) {
		t.Errorf("Digest(ended ctx) = %v, want %v", err, context.Canceled)
	}
}

func TestErrors(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("x: %w", &fs.PathError{Op: "write", Path: "x", Err: err}) }
	for _, tt := range []struct {
		err            error
		full, readOnly bool
	}{
		{wrap(syscall.ENOSPC), true, false},
		{wrap(syscall.EDQUOT), true, false},
		{wrap(syscall.EROFS), false, true},
		{wrap(syscall.EACCES), false, true},
		{wrap(syscall.EPERM), false, true},
		{wrap(syscall.EIO), false, false},
		{nil, false, false},
	} {
		if got := disk.IsFull(tt.err); got != tt.full {
			t.Errorf("IsFull(%v) = %t, want %t", tt.err, got, tt.full)
		}
		if got := disk.IsReadOnly(tt.err); got != tt.readOnly {
			t.Errorf("IsReadOnly(%v) = %t, want %t", tt.err, got, tt.readOnly)
		}
	}
}

func TestSync(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Sync(dir); err != nil {
		t.Errorf("Sync(%s) = %v, want nil", dir.Name(), err)
	}
	if err := dir.Close(); err == nil {
		t.Error("Close after Sync = nil, want an error: it is closed")
	}
}
