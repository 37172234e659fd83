package peertest

import (
	"context"
	"fmt"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A scheme is a transport over the simulated network whose addresses have another
// scheme, so that a node can have several.
type scheme struct {
	name string
	*memory.Transport
}

// schemed returns t under a scheme.
func schemed(name string, t *memory.Transport) transport.Transport {
	if name == memory.Scheme {
		return t
	}
	return &scheme{name, t}
}

// Dial implements [transport.Transport].
func (s *scheme) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	inner, err := s.inner(a)
	if err != nil {
		return nil, err
	}
	c, err := s.Transport.Dial(ctx, inner)
	if err != nil {
		return nil, err
	}
	return &schemeConn{c, s.name}, nil
}

// Listen implements [transport.Transport].
func (s *scheme) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	inner, err := s.inner(a)
	if err != nil {
		return nil, err
	}
	l, err := s.Transport.Listen(ctx, inner)
	if err != nil {
		return nil, err
	}
	return &schemeListener{l, s.name}, nil
}

func (s *scheme) inner(a transport.Addr) (transport.Addr, error) {
	if a.Scheme != "" && a.Scheme != s.name {
		return a, fmt.Errorf("scheme %q, want %s", a.Scheme, s.name)
	}
	a.Scheme = memory.Scheme
	return a, nil
}

type schemeListener struct {
	transport.Listener
	name string
}

func (l *schemeListener) Accept(ctx context.Context) (transport.Conn, error) {
	c, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return &schemeConn{c, l.name}, nil
}

func (l *schemeListener) Addr() transport.Addr {
	a := l.Listener.Addr()
	a.Scheme = l.name
	return a
}

type schemeConn struct {
	transport.Conn
	name string
}

func (c *schemeConn) Info() transport.Info {
	i := c.Conn.Info()
	i.Transport, i.Local.Scheme, i.Remote.Scheme = c.name, c.name, c.name
	return i
}
