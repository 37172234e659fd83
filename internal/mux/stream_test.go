package mux_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// echo returns what comes on every stream, until the connection ends.
func echo(t testing.TB, c *mux.Conn, wg *sync.WaitGroup) {
	for {
		s, err := c.AcceptStream(c.Context())
		if err != nil {
			return
		}
		wg.Go(func() {
			defer s.Close()
			if _, err := io.Copy(s, s); err != nil {
				t.Errorf("echo: %v", err)
			}
			s.CloseWrite()
		})
	}
}

func TestEcho(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		var wg sync.WaitGroup
		defer wg.Wait()
		defer b.CloseWithError(kith.OK, "")
		wg.Go(func() { echo(t, b, &wg) })
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() {
				data := make([]byte, 1<<i)
				rand.NewChaCha8([32]byte{byte(i)}).Read(data)
				s, err := a.OpenStream(t.Context())
				if err != nil {
					t.Errorf("OpenStream() = %v", err)
					return
				}
				defer s.Close()
				calls.Go(func() {
					for p := data; len(p) > 0; {
						n, err := s.Write(p[:min(len(p), 1+len(data)/7)])
						if err != nil {
							t.Errorf("Write: %v", err)
						}
						p = p[n:]
					}
					s.CloseWrite()
				})
				got, err := io.ReadAll(s)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("stream %d: got %d bytes, sum %x, %v; want %d, sum %x", i, len(got), sha256.Sum256(got), err, len(data), sha256.Sum256(data))
				}
			})
		}
		calls.Wait()
	})
}

func TestCloseReason(t *testing.T) {
	overLinks(t, func(t *testing.T, a, b *mux.Conn) {
		s, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("x"))
		r, err := b.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(r, make([]byte, 1))
		a.CloseWithError(kith.Aborted, "no more")
		_, err = r.Read(make([]byte, 1))
		var ce *transport.ConnError
		if !errors.As(err, &ce) || ce.Code != kith.Aborted || ce.Reason != "no more" || !ce.Remote {
			t.Errorf("Read after remote close = %v", err)
		}
	})
}
