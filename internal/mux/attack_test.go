package mux_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// The tests in this file are peers that break the rules, or keep them to the
// letter and mean harm. attack_stall_test.go has those that stop or go slowly.

// attackSize is how many frames a flood has. The race detector makes them slow.
func attackSize() int {
	if raceEnabled || testing.Short() {
		return 50_000
	}
	return 1_000_000
}

// heapInUse is what is reachable.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// readAll reads s to its end, with next to no memory.
func readAll(s *mux.Stream) {
	var buf [64]byte
	for err := error(nil); err == nil; {
		_, err = s.Read(buf[:])
	}
}

// A streamCounter handles each stream in a goroutine, as a session does, and
// counts how many there are at once.
type streamCounter struct {
	laneLog
	handle        func(s *mux.Stream)
	running, most atomic.Int64
	wg            sync.WaitGroup
}

func (h *streamCounter) LaneStream(s *mux.Stream) {
	n := h.running.Add(1)
	for m := h.most.Load(); n > m && !h.most.CompareAndSwap(m, n); m = h.most.Load() {
	}
	h.wg.Go(func() {
		h.handle(s)
		h.running.Add(-1)
		s.Close()
	})
}

// grants reads what comes at r and passes the limits of STREAMS on, until the
// link ends.
func (r raw) grants(limits chan<- uint64) {
	defer close(limits)
	if _, err := io.ReadFull(r.link, make([]byte, len(mux.Preface))); err != nil {
		return
	}
	for {
		first, _, p, err := r.next()
		if err != nil {
			return
		}
		if first == 0x50 {
			limits <- binary.BigEndian.Uint64(p)
		}
	}
}

// TestAttackOpenReset opens streams and resets them at once, as fast as they
// are granted. The handlers that run are no more than may be open, though each
// of them takes its time to notice, so that they pile up. (The time is virtual, as
// are the rests that the reader takes.)
func TestAttackOpenReset(t *testing.T) { synctest.Test(t, attackOpenReset) }

func attackOpenReset(t *testing.T) {
	const limit = 1024
	total := uint64(attackSize())
	c, r := rawPair(t, mux.Config{})
	h := &streamCounter{handle: func(s *mux.Stream) {
		readAll(s)
		time.Sleep(10 * time.Millisecond)
	}}
	before := heapInUse()
	c.StartLane(h)
	limits := make(chan uint64, 1024)
	go r.grants(limits)
	var batch []byte
	var worst int64
	for opened, granted := uint64(0), uint64(16); opened < total; {
		batch = batch[:0]
		for ; opened < min(granted, total); opened++ {
			id := 2*opened + 1
			batch = appendRaw(batch, 0x11, id, []byte("x"))
			batch = appendRaw(batch, 0x20, id, []byte{0, 0, 0, 1})
			if opened%(total/10) == 0 {
				worst = max(worst, heapInUse()-before)
			}
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
		if granted > opened+limit {
			t.Fatalf("granted %d streams with %d opened, want at most %d more", granted, opened, limit)
		}
	}
	c.CloseWithError(kith.OK, "")
	h.wg.Wait()
	t.Logf("%d streams opened and reset: %d handlers at once, heap +%d KiB", total, h.most.Load(), worst>>10)
	if n := h.most.Load(); n != limit {
		t.Errorf("%d handlers ran at once at the most, want %d", n, limit)
	}
	if worst > 8<<20 {
		t.Errorf("the heap grew by %d bytes", worst)
	}
}

// TestAttackOpenResetStuck is the same against handlers that do not end: a
// reset frees no slot, so nothing is granted, and who opens all the same is
// thrown out.
func TestAttackOpenResetStuck(t *testing.T) {
	const limit = 1024
	c, r := rawPair(t, mux.Config{})
	release := make(chan struct{})
	h := &streamCounter{handle: func(*mux.Stream) { <-release }}
	c.StartLane(h)
	go io.Copy(io.Discard, r.link)
	opened := 0
	for err := error(nil); err == nil && opened < attackSize(); opened++ {
		id := uint64(2*opened + 1)
		_, err = r.link.Write(append(rawFrame(0x11, id, []byte("x")), rawFrame(0x20, id, u32(1))...))
	}
	ce := ended(t, c)
	close(release)
	h.wg.Wait()
	if !strings.Contains(ce.Error(), "above the limit of") {
		t.Errorf("after %d streams the connection ended with %v, want the limit of streams", opened, ce)
	}
	if n := h.most.Load(); n > limit {
		t.Errorf("%d handlers ran at once, want at most %d", n, limit)
	}
}

// unreadFloods are what a peer can send again and again to make the other side
// answer, or remember. Each returns the n-th frame.
var unreadFloods = map[string]struct {
	frame  func(n uint64) []byte
	closed string // the reason, empty if that may go on forever
}{
	"windows":       {func(uint64) []byte { return rawFrame(0x40, 0, u64(1)) }, "without effect"},
	"small windows": {func(n uint64) []byte { return rawFrame(0x40, 0, u64(1<<20+n)) }, "without effect"},
	"streams":       {func(uint64) []byte { return rawFrame(0x50, 0, u64(1)) }, "without effect"},
	"resets":        {afterOpen(func(uint64) []byte { return rawFrame(0x20, 1, u32(1)) }), "without effect"},
	"stops":         {afterOpen(func(uint64) []byte { return rawFrame(0x30, 1, u32(1)) }), "without effect"},
	"empty data":    {afterOpen(func(uint64) []byte { return rawFrame(0x10, 1, nil) }), "without effect"},
	// Each of these is owed a RESET, for as long as there are slots.
	"open and stop": {func(n uint64) []byte {
		if n%2 == 0 {
			return rawFrame(0x11, n+1, nil)
		}
		return rawFrame(0x30, n, u32(1))
	}, "above the limit"},
	"open and end": {func(n uint64) []byte { return rawFrame(0x13, 2*n+1, nil) }, "above the limit"},
	// These change something each time, and cost nothing to remember.
	"large windows": {func(n uint64) []byte { return rawFrame(0x40, 0, u64(1<<20+n<<10)) }, ""},
	"more streams":  {func(n uint64) []byte { return rawFrame(0x50, 0, u64(17+n)) }, ""},
	"lane":          {func(uint64) []byte { return rawFrame(0x10, 0, []byte("ping")) }, ""},
}

func afterOpen(f func(uint64) []byte) func(uint64) []byte {
	return func(n uint64) []byte {
		if n == 0 {
			return rawFrame(0x11, 1, nil)
		}
		return f(n)
	}
}

// TestAttackUnread floods an end and reads nothing of what it answers. What
// waits to be sent stays small, and those that want too much are thrown out.
func TestAttackUnread(t *testing.T) {
	for name, f := range unreadFloods {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, r := rawPair(t, mux.Config{})
				h := &streamCounter{handle: readAll}
				h.data = func([]byte) error { return nil }
				c.StartLane(h)
				start := time.Now()
				total := uint64(attackSize())
				var batch []byte
				n := uint64(0)
				for err := error(nil); err == nil && n < total && c.Context().Err() == nil; {
					for batch = batch[:0]; len(batch) < 16<<10; n++ {
						batch = append(batch, f.frame(n)...)
					}
					_, err = r.link.Write(batch)
				}
				if f.closed != "" {
					if ce := ended(t, c); !strings.Contains(ce.Error(), f.closed) {
						t.Errorf("the connection ended with %v, want %q", ce, f.closed)
					}
				}
				took := time.Since(start)
				// All that it had to say is what comes now.
				unread := make(chan int64)
				go func() {
					n, _ := io.Copy(io.Discard, r.link)
					unread <- n
				}()
				synctest.Wait()
				if err := c.Context().Err(); f.closed == "" && err != nil {
					t.Errorf("the connection ended with %v", context.Cause(c.Context()))
				}
				c.CloseWithError(kith.OK, "")
				h.wg.Wait()
				waited := <-unread
				t.Logf("%d frames taken, %d bytes waited to be read", n, waited)
				if waited > 64<<10 {
					t.Errorf("%d bytes waited to be read, want at most 64 KiB", waited)
				}
				if took > 10*time.Second {
					t.Errorf("thrown out after %v, want 10s", took)
				}
			})
		})
	}
}

// TestAttackLengths has a thousand connections announce the longest frames and
// send nothing of them. What that costs is next to what the connections do.
func TestAttackLengths(t *testing.T) {
	for name, tail := range map[string][]byte{
		"stream": rawFrame(0x11, 1, make([]byte, 64<<10))[:12],
		"begun":  rawFrame(0x11, 1, make([]byte, 64<<10))[:13],
		"lane":   rawFrame(0x10, 0, make([]byte, 1<<20))[:12],
		"close":  rawFrame(0x60, 0, make([]byte, 4+256))[:12],
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var peers []raw
				for range 1000 {
					c, r := rawPair(t, mux.Config{})
					h := newLaneLog(0)
					h.stream = func(*mux.Stream) {} // left as it is
					c.StartLane(h)
					peers = append(peers, r)
				}
				synctest.Wait()
				before := heapInUse()
				for _, r := range peers {
					if _, err := r.link.Write(tail); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				grown := heapInUse() - before
				t.Logf("heap +%d KiB", grown>>10)
				if grown > 4<<20 {
					t.Errorf("the heap grew by %d bytes, want less than 4 MiB", grown)
				}
				runtime.KeepAlive(peers)
			})
		})
	}
}

// TestAttackFrames sends frames of all first bytes, with lengths and ids at
// the edges, to an end that has a stream each way. It goes on or ends, and does
// nothing more by itself.
func TestAttackFrames(t *testing.T) {
	alive, over := 0, 0
	lengths := []int{0, 1, 4, 8, 260, 64 << 10, 1 << 20, 1<<24 - 1}
	if raceEnabled || testing.Short() {
		lengths = []int{0, 1, 1<<24 - 1}
	}
	for first := range 256 {
		synctest.Test(t, func(t *testing.T) {
			for _, n := range lengths {
				for _, id := range []uint64{0, 1, 2, 3, 1 << 63, 1<<64 - 1} {
					if attackFrame(t, byte(first), n, id) {
						alive++
					} else {
						over++
					}
				}
			}
		})
	}
	t.Logf("%d frames were borne, %d ended the connection", alive, over)
}

// attackFrame reports whether the connection was alive after the frame.
func attackFrame(t *testing.T, first byte, n int, id uint64) (alive bool) {
	c, r := rawPair(t, mux.Config{})
	h := newLaneLog(0)
	h.stream = func(*mux.Stream) {}
	c.StartLane(h)
	own, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own.Write([]byte("x"))
	frame := append(rawFrame(0x11, 1, []byte("x")), rawFrame(first, id, make([]byte, min(n, 64<<10)))...)
	binary.BigEndian.PutUint32(frame[13:], uint32(first)<<24|uint32(n))
	r.link.Write(frame)
	synctest.Wait() // would not return if anything went round in circles
	ce := transport.ConnErr(c.Context())
	c.CloseWithError(kith.OK, "")
	r.link.Close()
	return ce == nil
}

// TestAttackLimits moves limits to the ends of what a number can be: credit
// only ever grows, and nothing overflows.
func TestAttackLimits(t *testing.T) {
	const most = 1<<64 - 1
	for _, limits := range [][]uint64{{most}, {most, 0}, {1 << 63, most, 1}, {most - 1, most, most}, {0, 1, 1 << 20, 1<<20 + 1}} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, r := rawPair(t, mux.Config{})
				s, err := c.OpenStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Write([]byte("x"))
				for _, l := range limits {
					r.link.Write(bytes.Join([][]byte{rawFrame(0x40, 0, u64(l)), rawFrame(0x40, 2, u64(l)), rawFrame(0x50, 0, u64(l))}, nil))
				}
				got := make(chan error)
				go func() {
					_, err := io.CopyN(io.Discard, r.link, 200<<10)
					got <- err
					io.Copy(io.Discard, r.link)
				}()
				// As much as the first windows allow goes out, whatever came.
				n, err := s.Write(make([]byte, 200<<10))
				if n != 200<<10 || err != nil {
					t.Errorf("Write() = %d, %v", n, err)
				}
				if err := <-got; err != nil {
					t.Errorf("the other side reads %v, want 200 KiB", err)
				}
				for range 15 {
					if _, err := c.OpenStream(t.Context()); err != nil {
						t.Errorf("OpenStream() = %v", err)
						break
					}
				}
				c.CloseWithError(kith.OK, "")
			})
		})
	}
}
