package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/kith-go/kith"
	kithclient "github.com/kith-go/kith/client"
	kithserver "github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

const kithPath = "github.com/kith-go/kith"

var (
	kithEcho = kith.Unary[[]byte, []byte]("bench/Echo", kith.Idempotent())
	kithItem = kith.Unary[item, item]("bench/Item")
	kithSink = kith.ClientStream[[]byte, []byte]("bench/Sink")
)

// The handshakes that one source may begin are limited by default, to 200 a second over
// TCP. All of ours come from one source, as no other system counts them.
var (
	kithTCP = kithSystem("kith-tcp", "kith over plaintext TCP", func() transport.Transport {
		return tcp.New(tcp.Config{Plaintext: true, MaxHandshakes: -1, MaxHandshakesPerSource: -1})
	})
	kithTLS = kithSystem("kith-tls", "kith over TCP with its mutual TLS 1.3", func() transport.Transport {
		return tcp.New(tcp.Config{HandshakeRate: -1, MaxHandshakes: -1, MaxHandshakesPerSource: -1})
	})
	kithQUIC = kithSystem("kith-quic", "kith over QUIC", func() transport.Transport {
		return quic.New(quic.Config{MaxHandshakes: -1, MaxHandshakesPerSource: -1})
	})
	kithMemory = system{
		name: "kith-memory", what: "kith within one process", path: kithPath, local: true,
		serve: func(string) (server, error) {
			s, err := kithServe(memory.New(memory.Config{}), transport.Addr{Scheme: memory.Scheme, Host: "bench"})
			if err != nil {
				return nil, err
			}
			memoryServers.Store(s.addr, s.t)
			return s, nil
		},
		dial: func(ctx context.Context, addr string) (client, error) {
			t, ok := memoryServers.Load(addr)
			if !ok {
				return nil, fmt.Errorf("nobody listens at %s", addr)
			}
			return kithDial(ctx, t.(transport.Transport), addr)
		},
	}
)

// memoryServers has the transport of each memory server by its address: dialling takes
// the one that listens.
var memoryServers sync.Map

// A dialler is the transport that the clients of a run share, as those of a program do:
// it has the program's key and certificate, and over QUIC its socket.
type dialler struct {
	make func() transport.Transport
	mu   sync.Mutex
	t    transport.Transport // nil if none is made; guarded by mu
}

func (d *dialler) get() transport.Transport {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.t == nil {
		d.t = d.make()
	}
	return d.t
}

// end closes the transport. The next client gets a new one.
func (d *dialler) end() error {
	d.mu.Lock()
	t := d.t
	d.t = nil
	d.mu.Unlock()
	if t == nil {
		return nil
	}
	return t.Close()
}

// kithSystem is kith over what newTransport makes, one for the server and one for all
// clients.
func kithSystem(name, what string, newTransport func() transport.Transport) system {
	clients := &dialler{make: newTransport}
	return system{
		name: name, what: what, path: kithPath,
		serve: func(addr string) (server, error) {
			if addr == "" {
				addr = "127.0.0.1:0"
			}
			return kithServe(newTransport(), transport.Addr{Host: addr})
		},
		dial: func(ctx context.Context, addr string) (client, error) {
			return kithDial(ctx, clients.get(), addr)
		},
		lazy: func(addr string) (client, error) {
			c, err := kithclient.New(kithclient.Config{Transport: clients.get(), Addrs: []string{addr}})
			return &kithClient{c}, err
		},
		end: clients.end,
	}
}

// A kithServerEnd is a kith server on a transport of its own. It runs serveLoop.
type kithServerEnd struct {
	srv  *kithserver.Server
	t    transport.Transport
	l    transport.Listener
	addr string
	done chan struct{} // closed by serveLoop
}

func kithServe(t transport.Transport, a transport.Addr) (*kithServerEnd, error) {
	var h kith.Handlers
	kithEcho.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	kithItem.Handle(&h, func(_ context.Context, v item) (item, error) { return v, nil })
	kithSink.Handle(&h, func(_ context.Context, messages iter.Seq2[[]byte, error]) ([]byte, error) {
		for _, err := range messages {
			if err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	srv, err := kithserver.New(kithserver.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		return nil, err
	}
	l, err := t.Listen(context.Background(), a)
	if err != nil {
		return nil, err
	}
	s := &kithServerEnd{srv: srv, t: t, l: l, addr: l.Addr().String(), done: make(chan struct{})}
	go s.serveLoop()
	return s, nil
}

// serveLoop ends with Close, which waits for it.
func (s *kithServerEnd) serveLoop() {
	defer close(s.done)
	_ = s.srv.Serve(context.Background(), s.l) // never nil; what matters fails the calls
}

func (s *kithServerEnd) Addr() string { return s.addr }

func (s *kithServerEnd) Close() error {
	err := s.srv.Close()
	<-s.done
	if strings.HasPrefix(s.addr, memory.Scheme) {
		memoryServers.Delete(s.addr)
	}
	if e := s.t.Close(); err == nil {
		err = e
	}
	return err
}

// A kithClient is a kith client.
type kithClient struct{ c *kithclient.Client }

func kithDial(ctx context.Context, t transport.Transport, addr string) (client, error) {
	c, err := kithclient.Dial(ctx, kithclient.Config{Transport: t, Addrs: []string{addr}})
	if err != nil {
		return nil, err
	}
	return &kithClient{c}, nil
}

func (c *kithClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	return kithEcho.Call(ctx, c.c, req)
}

func (c *kithClient) CallTyped(ctx context.Context, in *item) (*item, error) {
	out, err := kithItem.Call(ctx, c.c, *in)
	return &out, err
}

func (c *kithClient) Send(ctx context.Context, msg []byte, n int) error {
	d, err := kithSink.Call(ctx, c.c)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // CloseAndRecv says how the call ended
	for range n {
		if err := d.Send(msg); err != nil {
			_, recvErr := d.CloseAndRecv()
			return fmt.Errorf("send: %w (%w)", err, recvErr)
		}
	}
	_, err = d.CloseAndRecv()
	return err
}

func (c *kithClient) Close() error { return c.c.Close() }
