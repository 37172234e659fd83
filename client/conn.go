package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/backoff"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// A conn is one connection of a client's, from the first call that may go out
// on it to its end.
type conn struct {
	client *Client
	s      *session.Session
	addr   transport.Addr
	index  int // of the address that was dialled

	settled chan struct{} // closed by connectLoop when hello is over, well or not
	failed  error         // why this side was not admitted; set before settled closes
	since   time.Time     // when it was; set before settled closes

	// Guarded by Client.mu.
	retired bool        // it takes no more calls
	timer   *time.Timer // runs tick; nil where idle connections are kept
	quiet   int         // ticks in a row without a call
	made    uint64      // calls made until the last tick
	counted uint64      // calls that the budget knows of
}

const (
	// idleTicks is in how many parts an idle connection's time is measured.
	idleTicks = 4
	// lingerTick is how often a connection that takes no more calls is looked
	// at, in case that its other side never closes it.
	lingerTick = 5 * time.Second
	// goodbye bounds the drain of an idle connection.
	goodbye = 5 * time.Second
	// maxLeft bounds the handlers that the error of a drain names.
	maxLeft = 16
)

// healthy is how long a connection has to last for the pauses to be short
// again: one that is accepted and closed soon after is a failure like others.
const healthy = 10 * time.Second

func (cn *conn) unsettled() bool {
	select {
	case <-cn.settled:
		return false
	default:
		return true
	}
}

// watchLocked begins to watch whether the conn is idle.
func (cn *conn) watchLocked() {
	if d := cn.client.cfg.IdleTimeout; d > 0 {
		cn.timer = time.AfterFunc(max(d/idleTicks, 1), cn.tick)
	}
}

// tick gives up a conn that has been idle for long. It runs on a timer's
// goroutine, which Close waits for.
func (cn *conn) tick() {
	c := cn.client
	if !c.enter() {
		return
	}
	defer c.loops.Done()
	open, made := cn.s.Activity()
	c.mu.Lock()
	cn.quiet++
	if open > 0 || made != cn.made {
		cn.quiet, cn.made = 0, made
	}
	give := cn.retired && open == 0 || cn.quiet >= idleTicks
	next := max(c.cfg.IdleTimeout/idleTicks, 1)
	if cn.retired {
		next = lingerTick
	}
	c.mu.Unlock()
	if give && cn.giveUp() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.conns[cn]; open {
		cn.timer.Reset(next)
	}
}

// giveUp closes a conn on which no call is open, and reports false if one is.
func (cn *conn) giveUp() bool {
	c := cn.client
	c.mu.Lock()
	// With mu held, so that calls which were about to go out on it, and find it
	// so, do not take it for one that its server drains. The session's lock is
	// taken inside of mu, never the other way round.
	if !cn.s.RetireIdle() {
		c.mu.Unlock()
		return false
	}
	cn.retired = true
	c.live.CompareAndSwap(cn, nil)
	if time.Since(cn.since) >= healthy {
		c.strikes = 0
	}
	c.mu.Unlock()
	if c.cfg.Handlers != nil {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = cn.s.Drain(ctx)
	}
	_ = cn.s.Close(kith.OK, "idle")
	return true
}

// drainHandler ends a conn without losing a call, once its hello is over. It
// ends with the connection or ctx; Shutdown waits for it.
func (cn *conn) drainHandler(ctx context.Context) error {
	select {
	case <-cn.settled:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := cn.s.Drain(ctx)
	if err == nil {
		return nil
	}
	var left []string
	for _, call := range cn.s.Serving() {
		left = append(left, fmt.Sprintf("%s for %v", call.Method, call.Age.Round(time.Millisecond)))
	}
	if len(left) > maxLeft {
		left = append(left[:maxLeft], "...")
	}
	if len(left) > 0 {
		return fmt.Errorf("%w, handlers left: %s", err, strings.Join(left, ", "))
	}
	return err
}

// onEnd runs when the session and its connection have ended, on a goroutine of
// its own, which Close waits for.
func (cn *conn) onEnd() {
	c := cn.client
	defer c.loops.Done()
	<-cn.settled                         // near
	_ = cn.s.Close(kith.Unavailable, "") // joins its goroutines
	c.retire(cn, cn.s.Err())
	c.mu.Lock()
	delete(c.conns, cn)
	if cn.timer != nil {
		cn.timer.Stop()
	}
	c.mu.Unlock()
	if cn.failed == nil {
		c.cfg.Logger.Info("connection ended", slog.String("addr", cn.addr.String()), slog.String("err", cutText(cn.s.Err().Error())))
	}
}

// retire lets no further call go out on a conn that has ended, or drains if
// why is nil. The first call of it decides when to connect again.
func (c *Client) retire(cn *conn, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn.retired {
		return
	}
	cn.retired = true
	c.live.CompareAndSwap(cn, nil)
	if c.closing {
		return
	}
	c.holdLocked(cn, why)
	if why == nil {
		cn.lingerLocked()
	}
	if c.keep {
		c.startLocked()
	}
	c.wakeLocked()
}

// lingerLocked watches a conn that its other side drains.
func (cn *conn) lingerLocked() {
	if cn.timer == nil {
		cn.timer = time.AfterFunc(lingerTick, cn.tick)
	} else {
		cn.timer.Reset(lingerTick)
	}
}

// holdLocked decides when the first attempt after the loss of cn may begin.
func (c *Client) holdLocked(cn *conn, why error) {
	var ce *transport.ConnError
	drained := why == nil || errors.As(why, &ce) && ce.Remote && ce.Code == kith.OK
	if !drained {
		c.drops++
	} else if c.first == cn.index {
		c.first = (cn.index + 1) % len(c.addrs) // that one turns newcomers away
	}
	base := c.cfg.BackoffBase
	pause := backoff.Jitter(base)
	lived := time.Since(cn.since)
	switch {
	case lived >= healthy:
		// Many may have lost their server in this instant: whoever has a call
		// waiting goes first.
		c.strikes, c.soft = 0, true
	case !drained:
		c.strikes++
		c.soft, c.lost = false, true
		c.last = &DialError{Attempts: []Attempt{{Addr: cn.addr, At: cn.since, Took: lived, Err: why}}}
		pause = backoff.Pause(base, c.cfg.BackoffMax, c.strikes)
	default:
		c.soft = false
	}
	c.hold = time.Now().Add(pause)
}
