package main

import (
	"context"
	"sync/atomic"

	"github.com/kith-go/kith/transport"
)

// A counted is a connection that counts its streams.
type counted struct {
	transport.Conn
	streams *atomic.Int64
}

// OpenStream implements [transport.Conn].
func (c counted) OpenStream(ctx context.Context) (transport.Stream, error) {
	s, err := c.Conn.OpenStream(ctx)
	if err == nil {
		c.streams.Add(1)
	}
	return s, err
}

// AcceptStream implements [transport.Conn].
func (c counted) AcceptStream(ctx context.Context) (transport.Stream, error) {
	s, err := c.Conn.AcceptStream(ctx)
	if err == nil {
		c.streams.Add(1)
	}
	return s, err
}

// Unwrap implements [transport.ConnWrapper]: small calls take the short way.
func (c counted) Unwrap() transport.Conn { return c.Conn }

// A counting is a transport whose dialled connections are counted.
type counting struct {
	transport.Transport
	streams atomic.Int64
}

// Dial implements [transport.Transport].
func (t *counting) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	c, err := t.Transport.Dial(ctx, a)
	if err != nil {
		return nil, err
	}
	return counted{c, &t.streams}, nil
}
