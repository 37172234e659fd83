package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// Two shapes of one call: a frame on the lane, and a stream of its own.
var (
	onLane   = kith.Unary[[]byte, []byte]("test/OnLane")
	onStream = kith.Unary[[]byte, []byte]("test/OnStream", kith.Isolated())
)

// twoHosts returns a transport that dials over a link with latency.
func twoHosts(n *memory.Network, latency time.Duration) transport.Transport {
	n.SetLink("here", "there", memory.Link{Latency: latency})
	return dialFrom{n.Transport(memory.Config{Host: "there"}), n.Transport(memory.Config{Host: "here"})}
}

// wantNothingOpen fails t unless the pair holds no call, and makes good ones.
func wantNothingOpen(t *testing.T, p pair) {
	t.Helper()
	synctest.Wait()
	open, _ := p.dialed.Activity()
	back, _ := p.accepted.Activity()
	if open != 0 || back != 0 || p.workers.Busy() != 0 || len(p.accepted.Serving()) != 0 || p.dialed.OpenStreams() != 0 {
		t.Errorf("Activity() = %d and %d, %d busy, %d streams, want nothing open", open, back, p.workers.Busy(), p.dialed.OpenStreams())
	}
}

// raceCall asks for an answer at a time of the virtual clock.
func raceCall(key uint64, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, key), uint64(at.UnixNano()))
}

// An answer that comes just before its call's deadline, at it, or just after it:
// the call has one outcome, its own, at its deadline at the latest.
func TestDeadlineRace(t *testing.T) {
	const workers = 500
	rounds := 20 // 10,000 calls of each offset
	if raceEnabled {
		rounds = 4
	}
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		var executed sync.Map
		var h kith.Handlers
		answer := func(_ context.Context, p []byte) ([]byte, error) {
			n, _ := executed.LoadOrStore(binary.BigEndian.Uint64(p), new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			time.Sleep(time.Until(time.Unix(0, int64(binary.BigEndian.Uint64(p[8:])))))
			return p, nil
		}
		onLane.Handle(&h, answer)
		onStream.Handle(&h, answer)
		p := connect(t, tr, &h, nil)
		var key atomic.Uint64
		one := func(m *kith.UnaryMethod[[]byte, []byte], r *rand.Rand, offset time.Duration) (ok bool) {
			deadline := time.Now().Add(time.Millisecond + time.Duration(r.Int64N(int64(time.Millisecond))))
			ctx, cancel := context.WithDeadline(t.Context(), deadline)
			defer cancel()
			k := key.Add(1)
			got, err := m.Call(ctx, p.dialed, raceCall(k, deadline.Add(offset)))
			if late := time.Since(deadline); late > 0 || late < min(offset, 0) {
				t.Errorf("call with an answer at deadline%+d returned at deadline%+d", offset, late)
			}
			switch {
			case err == nil && (len(got) != 16 || binary.BigEndian.Uint64(got) != k):
				t.Errorf("call %d got another call's answer: %x", k, got)
			case err != nil && (!errors.Is(err, context.DeadlineExceeded) || kith.Unprocessed(err)):
				t.Errorf("call = %v, want %v", err, context.DeadlineExceeded)
			case err == nil && offset > 0, err != nil && offset < 0:
				t.Errorf("call with an answer at deadline%+d = %v", offset, err)
			}
			return err == nil
		}
		for i, offset := range []time.Duration{-1, 0, 1} {
			var inTime atomic.Int64
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), uint64(w)))
					m := onLane
					if w%20 == 0 {
						m = onStream
					}
					for range rounds {
						if one(m, r, offset) {
							inTime.Add(1)
						}
					}
				})
			}
			wg.Wait()
			t.Logf("answer at deadline%+d: %d of %d calls have it", offset, inTime.Load(), workers*rounds)
			time.Sleep(time.Second)
			wantNothingOpen(t, p)
		}
		for k := range key.Load() {
			if n, ok := executed.Load(k + 1); !ok || n.(*atomic.Int64).Load() != 1 {
				t.Errorf("call %d was not executed once", k+1)
			}
		}
	})
}

// Calls that are given up at random times: each has one outcome, the ctx of its
// handler ends as soon as the word of it can be there, and nothing is left.
func TestCancelStorm(t *testing.T) {
	const workers, latency = 1000, time.Millisecond
	rounds := 100
	if raceEnabled {
		rounds = 10 // the race detector makes it ten times as slow
	}
	inBubble(t, func(t *testing.T, n *memory.Network, _ transport.Transport) {
		// What the handler of each call saw; written by it, and read when it has ended.
		cutAt := make([]time.Time, workers*rounds)  // zero if it ran to its end
		gaveUp := make([]time.Time, workers*rounds) // written by the caller before it cancels
		var h kith.Handlers
		stay := func(ctx context.Context, p []byte) ([]byte, error) {
			timer := time.NewTimer(time.Duration(binary.BigEndian.Uint64(p[8:])))
			defer timer.Stop()
			select {
			case <-timer.C:
				return p, nil
			case <-ctx.Done():
				cutAt[binary.BigEndian.Uint64(p)] = time.Now()
				return nil, ctx.Err()
			}
		}
		onLane.Handle(&h, stay)
		onStream.Handle(&h, stay)
		p := connect(t, twoHosts(n, latency), &h, nil)
		var cut, whole atomic.Int64
		one := func(m *kith.UnaryMethod[[]byte, []byte], r *rand.Rand, i uint64) {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(time.Duration(r.Int64N(int64(6*time.Millisecond))), func() {
				gaveUp[i] = time.Now()
				cancel()
			})
			defer timer.Stop()
			defer cancel()
			req := binary.BigEndian.AppendUint64(nil, i)
			req = binary.BigEndian.AppendUint64(req, r.Uint64N(uint64(6*time.Millisecond)))
			got, err := m.Call(ctx, p.dialed, req)
			switch {
			case err == nil && binary.BigEndian.Uint64(got) != i:
				t.Errorf("call %d got another call's answer: %x", i, got)
			case err == nil:
				whole.Add(1)
			case !errors.Is(err, context.Canceled) || kith.Remote(err):
				t.Errorf("call %d = %v, want local %v", i, err, context.Canceled)
			default:
				cut.Add(1)
			}
		}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(w)))
				m := onLane
				if w%20 == 0 {
					m = onStream
				}
				for k := range rounds {
					one(m, r, uint64(w*rounds+k))
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		wantNothingOpen(t, p)
		handlers := 0
		for i, at := range cutAt {
			if at.IsZero() {
				continue
			}
			if handlers++; gaveUp[i].IsZero() || at.Sub(gaveUp[i]) > latency {
				t.Errorf("handler of call %d, given up at %v, was cancelled at %v, want %v later at most", i, gaveUp[i], at, latency)
			}
		}
		t.Logf("%d calls given up, %d answered; %d handlers cancelled", cut.Load(), whole.Load(), handlers)
		for i := range uint64(1000) {
			if got, err := onLane.Call(t.Context(), p.dialed, raceCall(i, time.Unix(0, 0))); err != nil || len(got) != 16 {
				t.Errorf("Call after the storm = %x, %v", got, err)
			}
		}
		if err := p.dialed.Drain(t.Context()); err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
}
