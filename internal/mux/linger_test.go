package mux_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
)

// A halfLink has a half-close and no deadlines, like TLS over some pipes.
type halfLink struct{ io.ReadWriteCloser }

func (halfLink) CloseWrite() error { return nil }

// A closing end waits for the other one no longer than it says, deadlines or
// not.
func TestLingerWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newPipe()
		defer far.Close()
		c := mux.New(halfLink{near}, mux.Config{Dialed: true})
		start := time.Now()
		c.CloseWithError(kith.OK, "")
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("CloseWithError() with an other end that does not close took %v, want 100ms", took)
		}
	})
}
