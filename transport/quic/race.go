package quic

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// headStart is how long the attempts at a name's first addresses have before
// the next begins beside them (RFC 8305, section 5).
const headStart = 250 * time.Millisecond

// A race is the attempts at several addresses.
type race struct {
	d       *dialing
	results chan result // has room for all; attemptHandler sends
	running sync.WaitGroup
}

type result struct {
	conn *conn
	err  error
}

// race returns the first connection that comes about, and ends the others.
func (d *dialing) race(ctx context.Context, addrs []netip.AddrPort) (*conn, error) {
	r := &race{d: d, results: make(chan result, len(addrs))}
	ctx, cancel := context.WithCancel(ctx)
	winner, err := r.run(ctx, addrs)
	cancel()
	r.running.Wait()
	close(r.results)
	for late := range r.results {
		if late.err == nil {
			_ = late.conn.CloseWithError(0, "another address was quicker")
		}
	}
	return winner, err
}

// run starts attempts until one succeeds or all have failed.
func (r *race) run(ctx context.Context, addrs []netip.AddrPort) (*conn, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failure error
	for next, failed := 0, 0; failed < len(addrs); {
		start := timer.C
		if next == len(addrs) {
			start = nil
		}
		select {
		case <-start:
			addr := addrs[next]
			next++
			// Ends with ctx at the latest; race waits for it.
			r.running.Go(func() { r.attemptHandler(ctx, addr) })
			timer.Reset(headStart)
		case res := <-r.results:
			if res.err == nil {
				return res.conn, nil
			}
			failed++
			if failure == nil {
				failure = res.err
			} else {
				failure = fmt.Errorf("%w; %w", failure, res.err)
			}
			timer.Reset(0) // no use in waiting with the next
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, failure
}

func (r *race) attemptHandler(ctx context.Context, to netip.AddrPort) {
	c, err := r.d.attempt(ctx, to)
	if err != nil {
		err = fmt.Errorf("%v: %w", to, err)
	}
	r.results <- result{c, err}
}
