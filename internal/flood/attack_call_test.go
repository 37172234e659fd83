package flood_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/server"
)

// The attacks by calls.
var callAttacks = []attack{
	{name: "overload", over: overAll, run: overload},
	{name: "overload of 4 connections", over: overAll, conns: 4, run: overload},
	{name: "calls beyond the cap", over: overAll, run: beyondCap, limit: fewCalls},
	{name: "panicking handlers", over: overAll, run: panics},
	{name: "stuck handlers", over: overAll, run: stuck},
	{name: "cancel storm", over: overAll, run: cancels},
	{name: "deep JSON", over: overAll, run: deepJSON},
	{name: "wide JSON", over: overAll, run: wideJSON},
}

var (
	echoHead = wire.AppendHead(nil, kith.KindUnary, echo.Name(), "raw", 0, nil)
	hangHead = wire.AppendHead(nil, kith.KindUnary, hang.Name(), "raw", 0, nil)
)

// fewCalls makes the cap one that a single connection can reach.
func fewCalls(c *server.Config) { c.MaxCalls = 128 }

// callFrame appends a call of the lane.
func callFrame(dst []byte, id uint64, head, message []byte) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(wire.AppendLane(dst, wire.FrameCall), id)
	return wire.EndLane(append(append(dst, head...), message...), start)
}

// A slots is the call ids that an attacker may use.
type slots struct {
	free chan uint64
	done chan struct{} // closed when there will be no more
}

func newSlots(n int) *slots {
	s := &slots{free: make(chan uint64, n), done: make(chan struct{})}
	for id := range n {
		s.free <- uint64(id)
	}
	return s
}

// onFrame frees the slot of a call that has its outcome.
func (s *slots) onFrame(t wire.FrameType, body []byte) {
	if t != wire.FrameAnswer && t != wire.FrameFail {
		return
	}
	if id, _, err := wire.SplitNumber(body); err == nil {
		s.free <- id + wire.MaxLaneCalls // the next use of the slot
	}
}

// next waits for an id.
func (s *slots) next() (id uint64, ok bool) {
	select {
	case id := <-s.free:
		return id, true
	case <-s.done:
		return 0, false
	}
}

// more returns an id if there is one at once.
func (s *slots) more() (id uint64, ok bool) {
	select {
	case id := <-s.free:
		return id, true
	default:
		return 0, false
	}
}

// flood makes calls, each of which frames appends, as fast as their outcomes
// let it. per is how many frames that are.
func (x *attacker) flood(ctx context.Context, per int, frames func(dst []byte, id uint64) []byte) error {
	l, err := x.connect(ctx)
	if err != nil {
		return err
	}
	s := newSlots(x.inFlight)
	var loops sync.WaitGroup
	loops.Go(func() {
		defer close(s.done)
		_ = l.readLane(s.onFrame)
	})
	defer loops.Wait()
	defer l.close()
	const batch, most = 128, 256 << 10
	var p []byte
	for {
		id, ok := s.next()
		if !ok {
			return context.Canceled
		}
		p = frames(p[:0], id)
		n := 1
		for ; n < batch && len(p) < most; n++ {
			if id, ok = s.more(); !ok {
				break
			}
			p = frames(p, id)
		}
		if err := l.sendLane(p, n*per); err != nil {
			return err
		}
	}
}

// calls makes calls of one kind.
func (x *attacker) calls(ctx context.Context, head, message []byte) error {
	return x.flood(ctx, 1, func(dst []byte, id uint64) []byte { return callFrame(dst, id, head, message) })
}

func overload(ctx context.Context, x *attacker) error {
	return x.calls(ctx, echoHead, message())
}

// beyondCap keeps as many calls open as it can, so that the server is full.
func beyondCap(ctx context.Context, x *attacker) error {
	return x.calls(ctx, hangHead, message())
}

func panics(ctx context.Context, x *attacker) error {
	return x.calls(ctx, wire.AppendHead(nil, kith.KindUnary, crash.Name(), "raw", 0, nil), nil)
}

// stuck leaves as many handlers waiting as one connection may have, on the lane
// and on streams, and hangs up on them.
func stuck(ctx context.Context, x *attacker) error {
	l, err := x.connect(ctx)
	if err != nil {
		return err
	}
	var loops sync.WaitGroup
	loops.Go(func() { _ = l.readLane(nil) })
	defer loops.Wait()
	defer l.close()
	const batch = 64
	var p []byte
	for id := range uint64(x.inFlight) {
		if p = callFrame(p, id, hangHead, nil); (id+1)%batch != 0 && id+1 != uint64(x.inFlight) {
			continue
		}
		if err := l.sendLane(p, batch); err != nil {
			return err
		}
		p = p[:0]
	}
	for n := range uint64(512) {
		if err := l.openStream(ctx, streamOpen(n, kith.KindClientStream, gulp.Name())); err != nil {
			return err
		}
	}
	return sleep(ctx, 20*time.Millisecond)
}

// cancels makes calls that wait, and cancels them at once.
func cancels(ctx context.Context, x *attacker) error {
	return x.flood(ctx, 2, func(dst []byte, id uint64) []byte {
		return wire.AppendNumber(callFrame(dst, id, hangHead, nil), wire.FrameCancel, id)
	})
}

var parseHead = wire.AppendHead(nil, kith.KindUnary, parse.Name(), "json", 0, nil)

// bomb is how much JSON fits a call of the lane.
const bomb = wire.MaxLane - 64

// deepJSON nests as deep as a call of the lane can.
func deepJSON(ctx context.Context, x *attacker) error {
	p := append(bytes.Repeat([]byte("["), bomb/2), bytes.Repeat([]byte("]"), bomb/2)...)
	return x.calls(ctx, parseHead, p)
}

// wideJSON is the JSON that takes most memory for its size.
func wideJSON(ctx context.Context, x *attacker) error {
	p := append(bytes.Repeat([]byte("{},"), bomb/3-2), "{}]"...)
	return x.calls(ctx, parseHead, append([]byte("["), p...))
}
