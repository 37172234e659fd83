package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsSys sends a request through a nats-server to a responder and its answer back. The
// server and the responder share a process, and are two hops of a connection nonetheless.
var natsSys = system{
	name: "nats", what: "nats request/reply through an embedded nats-server", path: "github.com/nats-io/nats.go",
	serve: natsServe,
	dial: func(ctx context.Context, addr string) (client, error) {
		wait := 10 * time.Second
		if d, ok := ctx.Deadline(); ok {
			wait = time.Until(d)
		}
		c, err := nats.Connect("nats://"+addr, nats.Timeout(wait), nats.NoReconnect())
		if err != nil {
			return nil, err
		}
		return &natsClient{c}, nil
	},
}

const natsEcho = "bench.echo"

// A natsServer is the broker and the responder.
type natsServer struct {
	srv *natsserver.Server
	c   *nats.Conn
}

func natsServe(addr string) (server, error) {
	host, port := "127.0.0.1", natsserver.RANDOM_PORT
	if addr != "" {
		h, p, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if host = h; p != "0" {
			if port, err = strconv.Atoi(p); err != nil {
				return nil, err
			}
		}
	}
	srv, err := natsserver.NewServer(&natsserver.Options{
		Host: host, Port: port, NoLog: true, NoSigs: true, MaxPayload: maxPayload,
	})
	if err != nil {
		return nil, err
	}
	s := &natsServer{srv: srv}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		_ = s.Close() // the server's silence is the thing to tell
		return nil, errors.New("nats-server is not ready")
	}
	if s.c, err = nats.Connect(srv.ClientURL(), nats.NoReconnect()); err != nil {
		_ = s.Close() // as above
		return nil, err
	}
	_, err = s.c.Subscribe(natsEcho, func(m *nats.Msg) {
		_ = m.Respond(m.Data) // the client sees what became of it
	})
	if err == nil {
		err = s.c.Flush() // the server has the subscription before anybody calls
	}
	if err != nil {
		_ = s.Close() // as above
		return nil, err
	}
	return s, nil
}

func (s *natsServer) Addr() string { return s.srv.Addr().String() }

func (s *natsServer) Close() error {
	if s.c != nil {
		s.c.Close()
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	return nil
}

// A natsClient makes requests.
type natsClient struct{ c *nats.Conn }

func (n *natsClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	m, err := n.c.RequestWithContext(ctx, natsEcho, req)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

func (n *natsClient) Close() error {
	n.c.Close()
	return nil
}
