package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// A Client makes calls to a server, over one connection at a time, which it
// makes and replaces as needed. Get one from [Dial] or [New]. It is a
// [kith.Caller]: calls are made by the Call methods of descriptors. Its methods
// may be called from any number of goroutines. Whoever got it must end it with
// Close or Shutdown.
//
// While it connects, or waits for the time to do so, it runs one goroutine. For
// an idle connection it runs none beside those of the session. A streaming call
// has one if there is Middleware.
type Client struct {
	cfg     Config
	addrs   []transport.Addr
	scfg    session.Config
	workers *session.Workers // nil without Handlers
	chain   kith.Handler     // Middleware around the making of a call, nil without

	// live is the conn that calls go out on, nil while there is none. Its hello is
	// over; it may have ended a moment ago. It is changed with mu held.
	live    atomic.Pointer[conn]
	budget  budget
	retries atomic.Uint64

	loops sync.WaitGroup // connectLoop, chainHandlers, what runs when conns end or are idle

	mu      sync.Mutex
	closing bool               // no call is taken any more; guarded by mu
	closed  bool               // nothing is started any more; guarded by mu
	conns   map[*conn]struct{} // whose connection has not ended; guarded by mu
	dialler                    // guarded by mu
}

// New returns a Client that connects when it is first used. It fails if cfg is
// incomplete or an address malformed. The configuration is copied; its Handlers
// take no further method from now on.
func New(cfg Config) (*Client, error) {
	addrs, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	c := &Client{cfg: cfg.withDefaults(), addrs: addrs, conns: make(map[*conn]struct{})}
	if cfg.Handlers != nil {
		cfg.Handlers.Methods() // marks them as in use
		c.workers = session.NewWorkers(c.cfg.MaxCalls)
	}
	c.scfg = c.cfg.session(c.workers)
	if len(cfg.Middleware) > 0 {
		c.chain = kith.Chain(innermost, c.cfg.Middleware...)
	}
	c.budget.init(time.Now())
	return c, nil
}

// Dial returns a Client that is connected: the server has admitted it. If no
// address led that far, the error is a [*DialError]. If ctx ends first, the error
// matches ctx.Err() and says what was tried. The end of ctx means nothing to the
// Client later on.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := c.acquire(ctx, false, false); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("dial: %w", err)
	}
	return c, nil
}

// Shutdown ends the client without losing a call. New calls fail with
// [ErrClosed]; those under way are finished, notifications that were handed on
// arrive, and the handlers of the server's calls return. Then, or when ctx ends,
// it does what [Client.Close] does. It returns nil, or an error that matches
// ctx.Err() and names the methods whose handlers were left. It must not be
// called from a handler, which it would wait for.
func (c *Client) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.live.Store(nil)
	conns := slices.Collect(maps.Keys(c.conns))
	stop := c.stop
	c.wakeLocked()
	c.mu.Unlock()
	if stop != nil && !slices.ContainsFunc(conns, (*conn).unsettled) {
		stop() // else an attempt goes on, since calls may have followed its hello
	}
	var drains sync.WaitGroup
	errs := make([]error, len(conns))
	for i, cn := range conns {
		drains.Go(func() { errs[i] = cn.drainHandler(ctx) })
	}
	drains.Wait()
	errs = append(errs, c.quiet(ctx))
	_ = c.Close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}

// quiet waits for handlers whose connection was lost under them.
func (c *Client) quiet(ctx context.Context) error {
	if c.workers == nil {
		return nil
	}
	quiet := c.workers.Quiet()
	select {
	case <-quiet:
		return nil
	default:
	}
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w, %d handlers left", ctx.Err(), c.workers.Busy())
	}
}

// Close ends the client now: calls fail with [ErrClosed] or as their
// connection is lost, and the ctx of handlers ends. It is idempotent, returns
// after the last of the client's goroutines, always nil, and does not wait for
// handlers: it may be called from one.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing, c.closed = true, true
	c.live.Store(nil)
	conns := slices.Collect(maps.Keys(c.conns))
	stop := c.stop
	c.wakeLocked()
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	for _, cn := range conns {
		_ = cn.s.Close(kith.Canceled, "client closed")
	}
	c.loops.Wait()
	if c.workers != nil {
		c.workers.Close()
	}
	return nil
}

// enter counts a goroutine that Close is to wait for, and reports false if it
// does not any more.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.loops.Add(1)
	return true
}
