package flood_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/kith-go/kith"
)

// smokeBound tells a hang from an end.
const smokeBound = 60 * time.Second

// smokeHeap is by how much the heap may have grown in the midst of an attack,
// the attacker's own included.
const smokeHeap = 256 << 20

// smokeCalls is how many calls an attacker has open at once: what a flood of
// more does, but for taking longer, is the benchmark's to show.
const smokeCalls = 64

// TestFloodSmoke runs each attack for as long as a good client takes for some
// calls. Nothing here depends on how fast anything is.
func TestFloodSmoke(t *testing.T) {
	eachAttack(func(name string, a *attack) {
		t.Run(name+"/"+a.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), smokeBound)
			defer cancel()
			smoke(ctx, t, name, a)
		})
	})
}

// eachAttack calls f for each attack over each transport that it is for.
func eachAttack(f func(name string, a *attack)) {
	for _, name := range overAll {
		for i := range attacks {
			for _, over := range attacks[i].over {
				if over == name {
					f(name, &attacks[i])
				}
			}
		}
	}
}

func smoke(ctx context.Context, t *testing.T, name string, a *attack) {
	before := heap()
	r, err := newRig(ctx, name, a)
	if err != nil {
		t.Fatalf("newRig = %v", err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Errorf("close = %v", err)
		}
		if st := r.Stats(); st.Conns != 0 || st.Pending != 0 || st.Calls != 0 {
			t.Errorf("Stats() in the end = %+v, want nothing held", st)
		}
	}()
	addr := r.addr.String()
	g, err := dialGood(ctx, name, addr)
	if err != nil {
		t.Fatalf("dial = %v", err)
	}
	defer g.close()
	open := smokeCalls
	if a.limit != nil {
		open = 4 * smokeCalls // more than the limit
	}
	x, err := newAttacker(a, name, addr, open)
	if err != nil {
		t.Fatalf("newAttacker = %v", err)
	}
	defer x.close()
	select {
	case <-x.hit:
	case <-ctx.Done():
		t.Fatal("the attack did not begin")
	}
	for i := range 10 {
		if _, err := echo.Call(ctx, g, message()); err != nil && !a.fills(err) {
			t.Fatalf("call %d beside the attack = %v", i, err)
		}
	}
	if grown := int64(heap()) - int64(before); grown > smokeHeap {
		t.Errorf("the heap has grown by %d MiB, want at most %d", grown>>20, smokeHeap>>20)
	}
	x.close()
	err = answered(ctx, name, addr)
	for a.fills(err) && ctx.Err() == nil {
		err = answered(ctx, name, addr) // the server is about to end the attacker's calls
	}
	if err != nil {
		t.Errorf("first call of a new client after the attack = %v", err)
	}
}

// fills reports whether err is a refusal that the attack is made to bring about:
// a cap on the calls of all clients is one that one of them can reach.
func (a *attack) fills(err error) bool {
	return a.limit != nil && kith.Unprocessed(err) && kith.CodeOf(err) == kith.ResourceExhausted
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
