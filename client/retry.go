package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/backoff"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

const (
	// maxRetries is how often a call is tried again.
	maxRetries = 2
	// refusedPause is the longest pause before a call that was turned away is
	// tried for the second time. It doubles for the third.
	refusedPause = 25 * time.Millisecond
)

// again does do on one conn after the other, until it succeeds or may not be
// tried again. It begins with what cn and err say of a first try, if cn is not nil.
func (c *Client) again(ctx context.Context, m *kith.Method, patient bool, cn *conn, err error, do func(*conn) error) error {
	var past history
	for retries := 0; ; {
		if cn != nil {
			f := c.fateOf(ctx, m, cn, err)
			if f != unsent && !(f == moved && patient) {
				retries++
			}
			if f == final || retries > maxRetries || !c.mayRetry(ctx, f, cn, err, retries) {
				return finalError(m, cn, past, err)
			}
			past.add(cn.addr, err)
		}
		if cn, err = c.acquire(ctx, patient, m.Idempotent() && m.Kind() == kith.KindUnary); err != nil {
			return finalError(m, nil, past, err)
		}
		if err = do(cn); err == nil {
			return nil
		}
	}
}

// A fate is what an error says of a call that was tried on a conn.
type fate int

const (
	final   fate = iota // that is its outcome
	unsent              // the conn's server did not admit this side: connecting goes on
	moved               // not sent, since the conn takes no more calls
	refused             // the server turned it away for want of capacity
	lost                // nobody knows, but it may run twice
)

func (c *Client) fateOf(ctx context.Context, m *kith.Method, cn *conn, err error) fate {
	unprocessed := kith.Unprocessed(err)
	var f *session.Failure
	var e *kith.Error
	switch {
	case ctx.Err() != nil:
		return final
	case errors.As(err, &f):
		if c := f.Code(); c == kith.Canceled || c == kith.DeadlineExceeded {
			return final
		}
	case !unprocessed || !errors.As(err, &e) || !kith.Remote(e):
		return final // as the handler said, or this side's own doing
	}
	select {
	case <-cn.settled:
	case <-ctx.Done():
		return final
	}
	switch {
	case unprocessed && cn.failed != nil:
		return unsent
	case f == nil:
		if forCapacity(e) {
			return refused
		}
	case f.Code() != kith.Unavailable:
	case unprocessed:
		return moved
	case m.Idempotent():
		return lost
	}
	return final
}

// forCapacity reports whether the same call may be welcome a moment later.
func forCapacity(e *kith.Error) bool {
	switch e.Code() {
	case kith.Unavailable:
		return true
	case kith.ResourceExhausted:
		return e.Reason() != "message_too_large"
	}
	return false
}

// mayRetry makes ready for another try. What was sent before costs the other
// side work, and so comes out of the budget.
func (c *Client) mayRetry(ctx context.Context, f fate, cn *conn, err error, n int) bool {
	var ended *transport.ConnError
	switch {
	case errors.As(err, &ended):
		c.retire(cn, err) // its session may not know yet
	case cn.s.Draining():
		c.retire(cn, nil)
	}
	if f == unsent {
		return true
	}
	if f != moved && !c.budget.take(c.newCalls(cn), time.Now()) {
		return false
	}
	c.retries.Add(1)
	if f == refused {
		t := time.NewTimer(backoff.Jitter(refusedPause << (n - 1)))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return true
}

// newCalls returns how many calls were made on cn since it was asked last.
func (c *Client) newCalls(cn *conn) uint64 {
	_, made := cn.s.Activity()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := made - min(made, cn.counted)
	cn.counted = made
	return n
}

// A history is the tries of a call that failed.
type history struct {
	tries   []tried // the last maxRetries of them
	unknown bool    // one may have run
}

type tried struct {
	addr transport.Addr
	err  error
}

func (h *history) add(addr transport.Addr, err error) {
	if len(h.tries) == maxRetries {
		h.tries = h.tries[1:]
	}
	h.tries = append(h.tries, tried{addr, err})
	h.unknown = h.unknown || !kith.Unprocessed(err)
}

// finalError makes the error of a call that was tried for the last time on cn,
// or for which there was no connection if cn is nil.
func finalError(m *kith.Method, cn *conn, past history, err error) error {
	e := &callError{method: m, past: past.tries, err: err}
	e.unprocessed = !past.unknown && kith.Unprocessed(err)
	var f *session.Failure
	switch {
	case cn == nil:
	case errors.As(err, &f), e.unprocessed != kith.Unprocessed(err):
		e.addr = cn.addr
	default:
		return err // the other side's answer, or an error of the call itself
	}
	return e
}

// A callError says over which connections a call was tried.
type callError struct {
	method      *kith.Method
	addr        transport.Addr // of the last connection, zero if there was none
	err         error
	past        []tried
	unprocessed bool
}

// Error names the method, and for each try its address and what went wrong.
func (e *callError) Error() string {
	var b strings.Builder
	what := "call " + e.method.Name()
	b.WriteString(what)
	say := func(addr transport.Addr, err error) {
		if addr != (transport.Addr{}) {
			fmt.Fprintf(&b, " over %s", addr)
		}
		b.WriteString(": " + strings.TrimPrefix(err.Error(), what+": "))
	}
	say(e.addr, e.err)
	for _, t := range e.past {
		b.WriteString("; before")
		say(t.addr, t.err)
	}
	return b.String()
}

// Unwrap returns the cause of the last try's failure.
func (e *callError) Unwrap() error { return e.err }

// Code returns the code of the last try's failure.
func (e *callError) Code() kith.Code { return kith.CodeOf(e.err) }

// Unprocessed reports whether no try reached the handler.
func (e *callError) Unprocessed() bool { return e.unprocessed }
