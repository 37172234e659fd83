package kith

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
)

// A Group is a set of callers that changes with time, such as the peers of a
// node.
type Group interface {
	// Members returns those who offer the method of that name now.
	Members(method string) []Member
}

// A Member is one of a [Group].
type Member struct {
	// ID is who it is, Caller how to call it.
	ID     ID
	Caller Caller
}

// A Reply is what one [Member] answered.
type Reply[Resp any] struct {
	// ID is whose reply it is.
	ID ID
	// Resp is the answer if Err is nil.
	Resp Resp
	// Err is why there is none.
	Err error
}

// gatherParallel is how many members are asked at a time.
const gatherParallel = 16

// Gather calls m at every member of g that offers it, and yields one reply for
// each, as they come. Who joins meanwhile is not asked. At most 16 calls are
// open or wait for the loop at a time. When ctx ends, the open calls do, and
// those not made yet fail with its error. A break cancels the open calls and
// waits for their end.
func Gather[Req, Resp any](ctx context.Context, m *UnaryMethod[Req, Resp], g Group, req Req, opts ...CallOption) iter.Seq[Reply[Resp]] {
	return func(yield func(Reply[Resp]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		members := g.Members(m.Name())
		replies := make(chan Reply[Resp])
		stop := make(chan struct{}) // closed when nobody receives any more
		var next atomic.Int64
		// askLoop ends with the members, or with stop; the iteration waits for it.
		askLoop := func() {
			for i := next.Add(1) - 1; i < int64(len(members)); i = next.Add(1) - 1 {
				r := Reply[Resp]{ID: members[i].ID}
				if r.Err = ctx.Err(); r.Err == nil {
					r.Resp, r.Err = m.Call(ctx, members[i].Caller, req, opts...)
				}
				select {
				case replies <- r:
				case <-stop:
					return
				}
			}
		}
		var asking sync.WaitGroup
		for range min(len(members), gatherParallel) {
			asking.Go(askLoop)
		}
		defer asking.Wait()
		defer cancel()
		defer close(stop)
		for range members {
			if !yield(<-replies) {
				return
			}
		}
	}
}
