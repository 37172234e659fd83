package client

import (
	"context"

	"github.com/kith-go/kith"
)

// Invoke implements [kith.Caller]: it makes a unary call or sends a
// notification, connecting and trying again as the package comment says. The
// error of a call that got no answer says over which connections it was tried.
func (c *Client) Invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	if c.chain != nil {
		return c.invokeChained(ctx, r)
	}
	if r.Method.Timeout() > 0 {
		return c.invokeTimed(ctx, r)
	}
	return c.invoke(ctx, r)
}

// invoke is the fast path: while there is a connection, all that a call costs
// here is this.
func (c *Client) invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	cn := c.live.Load()
	if cn == nil {
		return c.invokeAgain(ctx, r, nil, nil)
	}
	p, err := cn.s.Invoke(ctx, r)
	if err != nil {
		return c.invokeAgain(ctx, r, cn, err)
	}
	return p, nil
}

// invokeTimed starts the clock of the method before a connection is there, and
// once for all tries.
func (c *Client) invokeTimed(ctx context.Context, r kith.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Method.Timeout())
	defer cancel()
	return c.invoke(ctx, r)
}

// invokeAgain makes a call that failed with err on cn, or for which there was
// no connection.
func (c *Client) invokeAgain(ctx context.Context, r kith.Request, cn *conn, err error) ([]byte, error) {
	var p []byte
	err = c.again(ctx, r.Method, r.WaitForReady, cn, err, func(cn *conn) (err error) {
		p, err = cn.s.Invoke(ctx, r)
		return err
	})
	return p, err
}

// Open implements [kith.Caller]: it starts a streaming call, as Invoke makes a
// unary one. Once it is open, it is not tried again.
func (c *Client) Open(ctx context.Context, r kith.Request) (kith.CallStream, error) {
	if c.chain != nil {
		return c.openChained(ctx, r)
	}
	s, _, err := c.open(ctx, r)
	return s, err
}

// open returns also the conn that the stream is on.
func (c *Client) open(ctx context.Context, r kith.Request) (kith.CallStream, *conn, error) {
	cn := c.live.Load()
	if cn != nil {
		s, err := cn.s.Open(ctx, r)
		if err == nil {
			return s, cn, nil
		}
		return c.openAgain(ctx, r, cn, err)
	}
	if t := r.Method.Timeout(); t > 0 {
		ctx, cancel := context.WithTimeout(ctx, t)
		s, cn, err := c.openAgain(ctx, r, nil, nil)
		if err != nil {
			cancel()
			return nil, nil, err
		}
		return &timedStream{s, cancel}, cn, nil
	}
	return c.openAgain(ctx, r, nil, nil)
}

func (c *Client) openAgain(ctx context.Context, r kith.Request, cn *conn, err error) (kith.CallStream, *conn, error) {
	var s kith.CallStream
	on := cn
	err = c.again(ctx, r.Method, r.WaitForReady, cn, err, func(cn *conn) (err error) {
		on = cn
		s, err = cn.s.Open(ctx, r)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return s, on, nil
}

// A timedStream is one whose clock started before there was a connection.
type timedStream struct {
	kith.CallStream
	cancel context.CancelFunc
}

// Close implements [kith.CallStream].
func (t *timedStream) Close() error {
	err := t.CallStream.Close()
	t.cancel()
	return err
}
