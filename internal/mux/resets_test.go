package mux_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/ration"
	"github.com/kith-go/kith/transport"
)

// An opener is a peer that opens as many streams as it is granted.
type opener struct {
	raw
	c               *mux.Conn
	limits          chan uint64
	opened, granted uint64
}

// newOpener has streams handled by handle, on the reader.
func newOpener(t *testing.T, limit int, h *laneLog, handle func(s *mux.Stream)) *opener {
	c, r := rawPair(t, mux.Config{MaxStreams: limit})
	h.stream = handle
	c.StartLane(h)
	o := &opener{raw: r, c: c, limits: make(chan uint64, 1024), granted: 16}
	go r.grants(o.limits)
	return o
}

// storm opens streams with frames, until there were total, or for a time.
func (o *opener) storm(total uint64, within time.Duration, frames func(b []byte, id uint64) []byte) {
	o.t.Helper()
	end := time.After(within)
	for o.opened < total {
		var batch []byte
		for ; o.opened < min(o.granted, total); o.opened++ {
			batch = frames(batch, 2*o.opened+1)
		}
		if _, err := o.link.Write(batch); err != nil {
			o.t.Fatalf("after %d streams: %v; %v", o.opened, err, transport.ConnErr(o.c.Context()))
		}
		select {
		case n, ok := <-o.limits:
			if !ok {
				o.t.Fatalf("after %d streams the connection ended with %v", o.opened, transport.ConnErr(o.c.Context()))
			}
			o.granted = n
		case <-end:
			return
		}
	}
}

// lastGrant is what was granted until now.
func (o *opener) lastGrant() uint64 {
	synctest.Wait()
	for len(o.limits) > 0 {
		o.granted = <-o.limits
	}
	return o.granted
}

func (o *opener) close() {
	_ = o.c.CloseWithError(kith.OK, "")
	for range o.limits { // until grants has ended
	}
}

// drain reads a stream to its end beside the reader.
func drain(s *mux.Stream) {
	go func() {
		readAll(s)
		_ = s.Close()
	}()
}

func openAndReset(b []byte, id uint64) []byte {
	return appendRaw(appendRaw(b, 0x11, id, []byte("x")), 0x20, id, u32(1))
}

// Who resets streams as fast as it opens them has the burst and then those that the
// interval allows, and not fewer, however it resets them, and however few may be open.
func TestResetsRest(t *testing.T) {
	for name, frames := range map[string]func(b []byte, id uint64) []byte{
		"opened and reset":    openAndReset,
		"opened by the reset": func(b []byte, id uint64) []byte { return appendRaw(b, 0x21, id, u32(1)) },
	} {
		for _, limit := range []int{16, 1024} {
			synctest.Test(t, func(t *testing.T) {
				const within = time.Second
				o := newOpener(t, limit, new(laneLog), drain)
				defer o.close()
				o.storm(1<<20, within, frames)
				most := uint64(within/ration.ResetInterval) + ration.ResetBurst + uint64(limit)
				if least := most * 9 / 10; o.opened < least || o.opened > most {
					t.Errorf("%s: %d streams in %v with %d at once, want %d to %d", name, o.opened, within, limit, least, most)
				}
			})
		}
	}
}

// Streams that end otherwise have no such limit, nor those whose reset answers that they
// were closed here. (The reader rests a little in between: these are very many too.)
func TestEndsDoNotRest(t *testing.T) {
	for name, tc := range map[string]struct {
		handle func(s *mux.Stream)
		frames func(b []byte, id uint64) []byte
	}{
		"ended":       {drain, func(b []byte, id uint64) []byte { return appendRaw(b, 0x13, id, []byte("x")) }},
		"closed here": {func(s *mux.Stream) { _ = s.Close() }, openAndReset},
	} {
		synctest.Test(t, func(t *testing.T) {
			const total = 10_000
			o := newOpener(t, 0, new(laneLog), tc.handle)
			defer o.close()
			began := time.Now()
			o.storm(total, time.Minute, tc.frames)
			if took, most := time.Since(began), total*ration.ResetInterval/2; took > most {
				t.Errorf("%s: %d streams took %v, want %v at most", name, total, took, most)
			}
		})
	}
}

// While places are held back, the lane is read as ever, and all of them come back.
func TestHeldPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1024
		h := newLaneLog(1)
		o := newOpener(t, limit, h, drain)
		defer o.close()
		o.storm(1<<20, 10*time.Millisecond, openAndReset)
		time.Sleep(200 * time.Microsecond) // the reader's rest
		if n := o.lastGrant(); n > o.opened+limit/2 {
			t.Errorf("granted %d streams with %d opened, want most places held back", n, o.opened)
		}
		began := time.Now()
		if err := o.frame(0x10, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
		<-h.reached
		if took := time.Since(began); took != 0 {
			t.Errorf("a frame of the lane took %v while places are held back", took)
		}
		time.Sleep(limit * ration.ResetInterval)
		if n := o.lastGrant(); n < o.opened+limit*3/4 || n > o.opened+limit {
			t.Errorf("granted %d streams with %d opened, want all but what is not worth a frame of %d", n, o.opened, limit)
		}
	})
}
