package session_test

import (
	"context"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// A caller that was given a slot, but gives up while it waits for room, passes
// the slot on.
func TestSlotIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 16 // as many as the raw peer takes calls at once
		var h kith.Handlers
		greet.Handle(&h, func(context.Context, string) (string, error) { return strings.Repeat("x", 15<<10), nil })
		s, p := rawPair(t, false, &h)
		call := func(ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := onLane.Call(ctx, s, make([]byte, 15<<10+200)) // more than an answer below
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

		// Answers that nobody reads fill the lane.
		for sent := 0; len(s.Serving()) == 0; sent++ {
			if sent == 1000 {
				t.Fatal("the lane takes any number of answers")
			}
			p.write(callFrame(byte(sent%4), &greet.Method))
			synctest.Wait()
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
