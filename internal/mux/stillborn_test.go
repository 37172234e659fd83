package mux_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// A refuser resets what is reset already, on the reader as a session does, and
// keeps the other streams.
type refuser struct {
	laneLog
	stillborn int
	others    []*mux.Stream
}

func (h *refuser) LaneStream(s *mux.Stream) {
	if !s.Stillborn() {
		h.others = append(h.others, s)
		return
	}
	h.stillborn++
	s.Reset(kith.InvalidArgument)
}

// A stream that is opened by its reset counts as one: it is out of the numbers
// that were granted, and its place is free again once it is reset back. It is all
// over before the next frame is read.
func TestStillbornStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 10_000
		c, r := rawPair(t, mux.Config{})
		h := new(refuser)
		c.StartLane(h)
		limits := make(chan uint64, total)
		go r.grants(limits)
		for opened, granted := uint64(0), uint64(16); opened < total; {
			var batch []byte
			for ; opened < min(granted, total); opened++ {
				batch = appendRaw(batch, 0x21, 2*opened+1, u32(1))
			}
			if _, err := r.link.Write(batch); err != nil {
				t.Fatalf("after %d streams: %v; %v", opened, err, transport.ConnErr(c.Context()))
			}
			if opened == total {
				break
			}
			var ok bool
			if granted, ok = <-limits; !ok {
				t.Fatalf("after %d streams the connection ended with %v", opened, transport.ConnErr(c.Context()))
			}
		}
		if err := r.frame(0x11, 2*total+1, []byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the reader rests in between
		synctest.Wait()
		if h.stillborn != total || len(h.others) != 1 {
			t.Fatalf("%d streams came reset and %d not, want %d and 1", h.stillborn, len(h.others), total)
		}
		_ = h.others[0].Close()
		_ = c.CloseWithError(kith.OK, "")
		for range limits { // until grants has ended
		}
	})
}
