package mux_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/kith-go/kith/internal/mux"
)

// A lane that waits while a stream's write is stuck goes out once the link takes
// bytes again, also if that write was interrupted in the middle of a frame, the
// rest of which nobody but flushLoop writes.
func TestLaneBehindInterruptedFrame(t *testing.T) {
	for kind, link := range stuckLinks {
		t.Run(kind, func(t *testing.T) {
			a, b := link(t)
			c, s, wrote := fullLink(t, a, b)
			lane := make(chan error, 1)
			for waits := false; !waits; {
				go func() { lane <- c.WriteLane(make([]byte, mux.Headroom+100)) }()
				select {
				case err := <-lane:
					if err != nil {
						t.Fatalf("WriteLane = %v", err)
					}
					// The link was not full yet. Once it is, one write stays.
				case <-time.After(50 * time.Millisecond):
					waits = true
				}
			}
			if err := s.SetWriteDeadline(time.Unix(1, 0)); err != nil {
				t.Fatalf("SetWriteDeadline = %v", err)
			}
			if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write = %v, want %v", err, os.ErrDeadlineExceeded)
			}
			go func() { _, _ = io.Copy(io.Discard, b) }() // ends with the test's pair
			select {
			case err := <-lane:
				if err != nil {
					t.Errorf("WriteLane = %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("WriteLane is still blocked")
			}
		})
	}
}
