package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcpool"
	"storj.io/drpc/drpcserver"
)

const drpcPath = "storj.io/drpc"

// drpc has one call at a time on a connection, and a pool of connections, which grows
// to as many as there are callers at once.
var (
	drpcPlain = drpcSystem("drpc", "drpc, raw bytes, a pool of connections, one call each", nil)
	drpcTLS   = drpcSystem("drpc-tls", "drpc over TLS 1.3, raw bytes, a pool of connections, one call each", tlsPair)
)

const (
	drpcEcho = "/kith.bench.Bench/Echo"
	drpcSink = "/kith.bench.Bench/Sink"
)

func drpcSystem(name, what string, pair func() (_, _ *tls.Config)) system {
	return system{
		name: name, what: what, path: drpcPath,
		serve: func(addr string) (server, error) { return drpcServe(addr, pair) },
		dial: func(ctx context.Context, addr string) (client, error) {
			dial := func(ctx context.Context, addr string) (*drpcconn.Conn, error) {
				c, err := rawDial(ctx, addr, pair)
				if err != nil {
					return nil, err
				}
				return drpcconn.New(c), nil
			}
			first, err := dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			pool := drpcpool.New[string, *drpcconn.Conn](drpcpool.Options{})
			pool.Put(addr, first)
			return &drpcClient{pool: pool, conn: pool.Get(ctx, addr, dial)}, nil
		},
	}
}

// A drpcServer runs serveLoop.
type drpcServer struct {
	l      net.Listener
	cancel context.CancelFunc // ends serveLoop and connections
	done   chan struct{}      // closed by serveLoop
}

func drpcServe(addr string, pair func() (_, _ *tls.Config)) (server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if pair != nil {
		cfg, _ := pair()
		l = tls.NewListener(l, cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &drpcServer{l: l, cancel: cancel, done: make(chan struct{})}
	go s.serveLoop(ctx)
	return s, nil
}

// serveLoop ends with ctx, which Close cancels; Close waits for it, as it does for the
// connections.
func (s *drpcServer) serveLoop(ctx context.Context) {
	defer close(s.done)
	_ = drpcserver.New(drpcHandler{}).Serve(ctx, s.l) // what matters fails the calls
}

func (s *drpcServer) Addr() string { return s.l.Addr().String() }

func (s *drpcServer) Close() error {
	s.cancel()
	<-s.done
	return nil
}

// A drpcHandler takes streams without the mux that generated code has, which would
// look up a map and call through one interface more.
type drpcHandler struct{}

func (drpcHandler) HandleRPC(s drpc.Stream, rpc string) error {
	var p []byte
	switch rpc {
	case drpcEcho:
		if err := s.MsgRecv(&p, drpcBytes{}); err != nil {
			return err
		}
	case drpcSink:
		for {
			err := s.MsgRecv(&p, drpcBytes{})
			if errors.Is(err, io.EOF) {
				p = nil
				break
			}
			if err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("no method %q", rpc)
	}
	return s.MsgSend(&p, drpcBytes{})
}

// drpcBytes is the encoding of a *[]byte: its bytes.
type drpcBytes struct{}

func (drpcBytes) Marshal(m drpc.Message) ([]byte, error) { return *m.(*[]byte), nil }

// MarshalAppend saves drpc a copy.
func (drpcBytes) MarshalAppend(buf []byte, m drpc.Message) ([]byte, error) {
	return append(buf, *m.(*[]byte)...), nil
}

// Unmarshal copies into what the message has room for: drpc uses buf again.
func (drpcBytes) Unmarshal(buf []byte, m drpc.Message) error {
	p := m.(*[]byte)
	*p = append((*p)[:0], buf...)
	return nil
}

// A drpcClient calls over whichever connection is free.
type drpcClient struct {
	pool *drpcpool.Pool[string, *drpcconn.Conn]
	conn drpcpool.Conn
}

func (c *drpcClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	var out []byte
	err := c.conn.Invoke(ctx, drpcEcho, drpcBytes{}, &req, &out)
	return out, err
}

func (c *drpcClient) Send(ctx context.Context, msg []byte, n int) error {
	s, err := c.conn.NewStream(ctx, drpcSink, drpcBytes{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // how it ended is known by then
	for range n {
		if err := s.MsgSend(&msg, drpcBytes{}); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	var out []byte
	return s.MsgRecv(&out, drpcBytes{})
}

func (c *drpcClient) Close() error {
	err := c.conn.Close()
	return errors.Join(err, c.pool.Close())
}
