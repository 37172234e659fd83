package session_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
)

// A caller that was given a slot, but gives up while it waits for room, passes
// the slot on.
func TestSlotIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 16 // as many as the raw peer takes calls at once
		s, p := rawPair(t, false, &kith.Handlers{}, func(c *session.Config) { c.MaxLaneCalls = 8192 })
		call := func(ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := onLane.Call(ctx, s, make([]byte, 15<<10))
				done <- err
			}()
			synctest.Wait()
			return done
		}
		var first uint64 // a call to be answered
		for range slots {
			call(t.Context())
			_, body := p.next()
			first, _, _ = wire.SplitNumber(body)
		}
		ctx, giveUp := context.WithCancel(t.Context())
		impatient := call(ctx)
		call(t.Context())

		// Refusals that nobody reads, each of over 128 bytes, fill the stream, and then
		// the lane: it takes any of them, and has room for 512 KiB of calls.
		unknown := kith.Unary[string, string]("test/" + strings.Repeat("x", 123))
		for range 2 {
			for range 4500 {
				p.write(callFrame(0, &unknown.Method))
			}
			time.Sleep(time.Second) // its reader rests now and then
		}
		p.write(wire.EndLane(wire.AppendTrailer(binary.AppendUvarint(wire.AppendLane(nil, wire.FrameAnswer), first), nil), 0))
		synctest.Wait() // one slot is free: it is the impatient caller's, who waits for room
		giveUp()
		if err := <-impatient; kith.CodeOf(err) != kith.Canceled || !kith.Unprocessed(err) {
			t.Errorf("Call = %v, want an unprocessed %v", err, kith.Canceled)
		}
		var calls atomic.Int64
		go func() {
			var piece [4096]byte
			for {
				n, err := p.lane.Read(piece[:])
				for p.buf = append(p.buf, piece[:n]...); ; {
					typ, _, n, _, _ := wire.NextLane(p.buf)
					if n == 0 {
						break
					}
					if p.buf = p.buf[n:]; typ == wire.FrameCall {
						calls.Add(1)
					}
				}
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls came once the lane was read, want that of the next in line", n)
		}
	})
}

// Outcomes that nobody reads hold their slots, and no goroutines.
func TestUnreadOutcomesHoldNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 1000
		var h kith.Handlers
		greet.Handle(&h, func(context.Context, string) (string, error) { return strings.Repeat("x", 15<<10), nil })
		s, p := rawPair(t, false, &h, func(c *session.Config) { c.MaxLaneCalls = calls })
		before := runtime.NumGoroutine()
		for id := range uint64(calls) {
			head := wire.AppendHead(binary.AppendUvarint(nil, id), kith.KindUnary, greet.Name(), "json", 0, nil)
			p.write(laneFrame(wire.FrameCall, append(head, `""`...)...))
		}
		synctest.Wait()
		if n := len(s.Serving()); n < calls/2 {
			t.Errorf("%d of %d calls are served whose outcomes were not read, want most", n, calls)
		}
		if n := runtime.NumGoroutine() - before; n > calls/4 {
			t.Errorf("%d goroutines more than before, want no more than were at work at once", n)
		}
		answers := 0
		for range calls {
			if typ, _ := p.next(); typ == wire.FrameAnswer {
				answers++
			}
		}
		synctest.Wait()
		if n := len(s.Serving()); answers != calls || n > 0 {
			t.Errorf("%d of %d answers came, %d calls are still served, want all and none", answers, calls, n)
		}
	})
}
