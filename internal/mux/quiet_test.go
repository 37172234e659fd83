package mux_test

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
)

// A roomLink notes how much room the last Read was given.
type roomLink struct {
	*pipeEnd
	room atomic.Int64
	most atomic.Int64 // ever
}

func (l *roomLink) Read(p []byte) (int, error) {
	l.room.Store(int64(len(p)))
	l.most.Store(max(l.most.Load(), int64(len(p))))
	return l.pipeEnd.Read(p)
}

var _ io.ReadWriteCloser = (*roomLink)(nil)

// A connection holds a small buffer until more comes at a time, a larger one
// while it does, and the small one again when it has been idle.
func TestQuietBuffer(t *testing.T) {
	const quiet = 512
	for _, tc := range []struct {
		size  int
		least int64 // the largest buffer is at least that
	}{{32, quiet}, {3 << 10, 3 << 10}, {30 << 10, 32 << 10}} {
		synctest.Test(t, func(t *testing.T) {
			near, far := newPipe()
			link := &roomLink{pipeEnd: far}
			a := mux.New(near, mux.Config{Dialed: true})
			b := mux.New(link, mux.Config{TimedReads: true})
			defer b.CloseWithError(kith.OK, "")
			defer a.CloseWithError(kith.OK, "")
			log := newLaneLog(2 * tc.size)
			a.StartLane(newLaneLog(0))
			b.StartLane(log)
			for range 2 { // the second time after it was idle
				if err := a.WriteLane(make([]byte, mux.Headroom+tc.size)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if most := link.most.Swap(0); most < tc.least {
					t.Errorf("%d bytes were read with a buffer of %d, want %d at least", tc.size, most, tc.least)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if room := link.room.Load(); room != quiet {
					t.Errorf("idle after %d bytes, Read has a buffer of %d, want %d", tc.size, room, quiet)
				}
			}
			<-log.reached
		})
	}
}
