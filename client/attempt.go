package client

import (
	"context"
	"log/slog"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// attempt tries one address, and reports whether the server there has admitted
// this side. If nothing keeps calls from following hello, idempotent ones may go
// out as soon as there is a connection.
func (c *Client) attempt(ctx context.Context, index int) bool {
	at := Attempt{Addr: c.addrs[index], At: time.Now(), Err: errPending}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	c.trying = append(c.trying, at)
	c.dials++
	c.mu.Unlock()

	tctx, cancel := ctx, context.CancelFunc(func() {})
	if c.cfg.DialTimeout > 0 {
		tctx, cancel = context.WithTimeout(ctx, c.cfg.DialTimeout)
	}
	defer cancel()
	err := c.try(tctx, index)
	if err == nil {
		return true
	}
	at.Took = time.Since(at.At)
	at.Err = attemptErr(err, tctx.Err() != nil && ctx.Err() == nil, c.cfg.DialTimeout)
	c.mu.Lock()
	c.trying[len(c.trying)-1] = at
	c.failed++
	c.mu.Unlock()
	return false
}

// try makes a connection to one address, and a session on it.
func (c *Client) try(ctx context.Context, index int) error {
	tc, err := c.cfg.Transport.Dial(ctx, c.addrs[index])
	if err != nil {
		return err
	}
	info := tc.Info()
	if err := transport.CheckPeer(c.addrs[index], info); err != nil {
		_ = tc.CloseWithError(kith.Unauthenticated, "not the peer that was dialled")
		return err
	}
	s, err := session.Start(ctx, tc, &c.scfg)
	if err != nil {
		return err
	}
	cn := &conn{client: c, s: s, addr: info.Remote, index: index, settled: make(chan struct{})}
	if !c.publish(cn) {
		_ = s.Close(kith.Canceled, "client closed")
		return ErrClosed
	}
	if err := s.Ready(ctx); err != nil {
		c.reject(cn, err)
		_ = s.Close(kith.Canceled, "hello not finished")
		return err
	}
	c.adopt(cn)
	c.cfg.Logger.Info("connected", slog.String("addr", cn.addr.String()), slog.String("peer", info.Peer.Short()))
	return nil
}

// publish makes a new conn one of the client's. It reports false if that is
// closing.
func (c *Client) publish(cn *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.conns[cn] = struct{}{}
	c.loops.Add(1)
	cn.s.AfterEnd(cn.onEnd)
	if c.cfg.Admit == nil {
		c.early = cn
		c.wakeLocked()
	}
	return true
}

// reject says that the server at a conn did not admit this side.
func (c *Client) reject(cn *conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn.failed, cn.retired = err, true
	c.early = nil
	close(cn.settled)
}

// adopt says that the server at a conn has admitted this side, and ends
// connectLoop.
func (c *Client) adopt(cn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn.since = time.Now()
	c.running, c.stop = false, nil
	c.early, c.trying, c.last, c.lost = nil, nil, nil, false
	c.first = cn.index
	if !c.closing {
		c.keep = c.cfg.Handlers != nil
		c.live.Store(cn)
		cn.watchLocked()
	}
	close(cn.settled)
	c.wakeLocked()
}
