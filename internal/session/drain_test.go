package session_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// While one side drains, every call either runs and is answered, or is known
// not to have run.
func TestDrainLosesNothing(t *testing.T) {
	rounds := 100
	if raceEnabled {
		rounds = 10 // the race detector makes it ten times as slow
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) { testDrainLosesNothing(t, overMemory(t)) })
	}
}

func testDrainLosesNothing(t *testing.T, tr transport.Transport) {
	const (
		callers = 1000
		drainAt = 3 * callers // answers
	)
	var executed, answered, refused atomic.Int64
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) {
		executed.Add(1)
		return p, nil
	})
	p := connect(t, tr, &h, nil)
	var first, all sync.WaitGroup
	inSwing := make(chan struct{})
	first.Add(callers)
	for i := range callers {
		all.Go(func() {
			size := 100
			if i%100 == 0 {
				size = 20 << 10 // does not fit the lane
			}
			for n := 0; ; n++ {
				_, err := echo.Call(t.Context(), p.dialed, make([]byte, size))
				if n == 0 {
					// Those that call on and on from here would keep the processors from
					// those that have not begun.
					first.Done()
					first.Wait()
				}
				if err == nil {
					if answered.Add(1) == drainAt {
						close(inSwing)
					}
					continue
				}
				if kith.Unprocessed(err) {
					refused.Add(1)
				} else {
					t.Errorf("Call = %v", err)
				}
				return
			}
		})
	}
	select {
	case <-inSwing:
	case <-p.dialed.Ended():
		t.Fatalf("the connection ended with %v", p.dialed.Err())
	}
	if err := p.accepted.Drain(t.Context()); err != nil {
		t.Fatalf("Drain = %v", err)
	}
	all.Wait()
	if executed.Load() != answered.Load() || refused.Load() != callers {
		t.Errorf("%d executed, %d answered, %d refused", executed.Load(), answered.Load(), refused.Load())
	}
}

// A drain waits for handlers and tells them, in both directions at once, and
// lets a handler call back.
func TestDrainWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		var h kith.Handlers
		hang.Handle(&h, func(ctx context.Context, _ string) (string, error) {
			<-kith.Draining(ctx)
			time.Sleep(time.Second)
			return greet.Call(ctx, kith.CallerFrom(ctx), "back")
		})
		greet.Handle(&h, func(_ context.Context, s string) (string, error) { return "hello " + s, nil })
		p := connect(t, tr, &h, nil)
		got := make(chan string, 1)
		go func() {
			s, err := hang.Call(t.Context(), p.dialed, "")
			if err != nil {
				t.Errorf("Call = %v", err)
			}
			got <- s
		}()
		time.Sleep(time.Second)
		start := time.Now()
		if err := p.accepted.Drain(t.Context()); err != nil {
			t.Errorf("Drain = %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("Drain took %v, want 1s", took)
		}
		if s := <-got; s != "hello back" {
			t.Errorf("Call = %q", s)
		}
	})
}

func TestDrainGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		p := connect(t, tr, hanging(make(chan error, 1)), nil)
		go func() { _, _ = hang.Call(t.Context(), p.dialed, "") }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.accepted.Drain(ctx); err != context.DeadlineExceeded {
			t.Errorf("Drain = %v, want %v", err, context.DeadlineExceeded)
		}
		if names := p.accepted.Serving(); len(names) != 1 || names[0].Method != hang.Name() {
			t.Errorf("Serving() = %v", names)
		}
	})
}

// A notification that was handed on is carried out before a drain ends.
func TestDrainKeepsNotifications(t *testing.T) {
	const n = 500
	var ran atomic.Int64
	note := kith.Notify[[]byte]("test/Note")
	var h kith.Handlers
	note.Handle(&h, func(context.Context, []byte) error { ran.Add(1); return nil })
	p := connect(t, overMemory(t), &h, nil)
	for i := range n {
		size := 10
		if i%50 == 0 {
			size = 64 << 10
		}
		if err := note.Call(t.Context(), p.dialed, make([]byte, size)); err != nil {
			t.Fatalf("Call = %v", err)
		}
	}
	if err := p.dialed.Drain(t.Context()); err != nil {
		t.Fatalf("Drain = %v", err)
	}
	<-p.accepted.Ended()
	if ran.Load() != n {
		t.Errorf("%d notifications ran, want %d", ran.Load(), n)
	}
}
