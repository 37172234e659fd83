package kith_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
)

var ask = kith.Unary[string, string]("test/Ask")

// A member answers after a while with its number, or fails.
type member struct {
	n     int
	after time.Duration
	err   error
	open  *atomic.Int64
	most  *atomic.Int64
}

func (m member) Invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	defer m.open.Add(-1)
	if open := m.open.Add(1); open > m.most.Load() {
		m.most.Store(open)
	}
	select {
	case <-time.After(m.after):
		return fmt.Appendf(nil, `"%d of %s"`, m.n, r.Body[1:len(r.Body)-1]), m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (member) Open(context.Context, kith.Request) (kith.CallStream, error) {
	return nil, errors.New("not a unary call")
}

// members is a group in which each answers n seconds after the one before.
type members struct {
	all        []kith.Member
	open, most atomic.Int64
}

func newMembers(n int, err error) *members {
	g := new(members)
	for i := range n {
		m := member{n: i, after: time.Duration(i+1) * time.Second, open: &g.open, most: &g.most}
		if i == 2 {
			m.err = err
		}
		g.all = append(g.all, kith.Member{ID: kith.ID{byte(i)}, Caller: m})
	}
	return g
}

func (g *members) Members(method string) []kith.Member {
	if method != ask.Name() {
		return nil
	}
	return g.all
}

func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		g := newMembers(100, broken)
		n := 0
		for r := range kith.Gather(t.Context(), ask, g, "x") {
			i := int(r.ID[0])
			if i == 2 && !errors.Is(r.Err, broken) || i != 2 && (r.Err != nil || r.Resp != fmt.Sprintf("%d of x", i)) {
				t.Errorf("Reply = %+v", r)
			}
			n++
		}
		if n != 100 || g.most.Load() != 16 {
			t.Errorf("%d replies, %d calls at a time, want 100 and 16", n, g.most.Load())
		}
	})
}

func TestGatherBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMembers(100, nil)
		begin := time.Now()
		for r := range kith.Gather(t.Context(), ask, g, "x") {
			if r.ID != (kith.ID{}) {
				t.Errorf("the first reply is of %v, want that of the fastest", r.ID)
			}
			break
		}
		if took, open := time.Since(begin), g.open.Load(); took != time.Second || open != 0 {
			t.Errorf("break after %v with %d calls open, want 1s and 0", took, open)
		}
	})
}

func TestGatherCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		good, ended := 0, 0
		for r := range kith.Gather(ctx, ask, newMembers(100, nil), "x") {
			switch {
			case r.Err == nil:
				good++
			case errors.Is(r.Err, context.DeadlineExceeded):
				ended++
			}
		}
		if good != 2 || ended != 98 {
			t.Errorf("%d answers and %d ends of ctx, want 2 and 98", good, ended)
		}
	})
}

func TestGatherNobody(t *testing.T) {
	for r := range kith.Gather(t.Context(), ask, newMembers(0, nil), "x") {
		t.Errorf("Reply = %+v, want none", r)
	}
}
