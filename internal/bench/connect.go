package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/kith-go/kith/internal/bench/benchpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const connectPath = "connectrpc.com/connect"

// connect-go over net/http's HTTP/2 without TLS, in its own protocol. Compression of
// answers is off, as it is with the others.
var (
	connectH2C = system{
		name: "connect-h2c", what: "connect-go over HTTP/2 without TLS, protobuf", path: connectPath,
		serve: connectServe,
		dial:  connectDial(),
	}
	connectJSON = system{
		name: "connect-json", what: "connect-go over HTTP/2 without TLS; the struct as JSON, bytes as protobuf", path: connectPath,
		serve: connectServe,
		dial:  connectDial(connect.WithProtoJSON()),
	}
)

// A connectServer runs serveLoop.
type connectServer struct {
	l    net.Listener
	srv  *http.Server
	done chan struct{} // closed by serveLoop
}

func connectServe(addr string) (server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &connectServer{l: l, done: make(chan struct{})}
	s.srv = &http.Server{
		Handler: connectHandler(), ReadHeaderTimeout: 10 * time.Second,
		Protocols: h2cOnly(),
		// The default of 250 would give 512 callers three connections.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 8192},
	}
	go s.serveLoop()
	return s, nil
}

// serveLoop ends with Close, which waits for it.
func (s *connectServer) serveLoop() {
	defer close(s.done)
	_ = s.srv.Serve(s.l) // never nil; what matters fails the calls
}

func (s *connectServer) Addr() string { return s.l.Addr().String() }

func (s *connectServer) Close() error {
	err := s.srv.Close()
	<-s.done
	return err
}

func h2cOnly() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// The paths of connect's procedures.
const (
	connectEcho = "/kith.bench.Bench/Echo"
	connectItem = "/kith.bench.Bench/Item"
	connectSink = "/kith.bench.Bench/Sink"
)

func connectHandler() http.Handler {
	limit := connect.WithReadMaxBytes(maxPayload)
	m := http.NewServeMux()
	m.Handle(connectEcho, connect.NewUnaryHandler(connectEcho, connectEchoes[wrapperspb.BytesValue], limit))
	m.Handle(connectItem, connect.NewUnaryHandler(connectItem, connectEchoes[benchpb.Item], limit))
	m.Handle(connectSink, connect.NewClientStreamHandler(connectSink, serveConnectSink, limit))
	return m
}

// connectEchoes answers with the message that came.
func connectEchoes[T any](_ context.Context, r *connect.Request[T]) (*connect.Response[T], error) {
	return connect.NewResponse(r.Msg), nil
}

// serveConnectSink drops messages, and answers at their end.
func serveConnectSink(_ context.Context, s *connect.ClientStream[wrapperspb.BytesValue]) (*connect.Response[emptypb.Empty], error) {
	for s.Receive() {
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return connect.NewResponse(&emptypb.Empty{}), nil
}

// A connectClient is what connect's generated code would be.
type connectClient struct {
	t    *http.Transport
	echo *connect.Client[wrapperspb.BytesValue, wrapperspb.BytesValue]
	item *connect.Client[benchpb.Item, benchpb.Item]
	sink *connect.Client[wrapperspb.BytesValue, emptypb.Empty]
}

// connectDial returns a dial whose typed calls have the options of opts.
func connectDial(opts ...connect.ClientOption) func(context.Context, string) (client, error) {
	return func(ctx context.Context, addr string) (client, error) {
		t := &http.Transport{Protocols: h2cOnly(), DisableCompression: true}
		h := &http.Client{Transport: t}
		base := "http://" + addr
		all := []connect.ClientOption{
			connect.WithReadMaxBytes(maxPayload),
			connect.WithAcceptCompression("gzip", nil, nil), // off: the server would compress whatever it sends
		}
		c := &connectClient{
			t:    t,
			echo: connect.NewClient[wrapperspb.BytesValue, wrapperspb.BytesValue](h, base+connectEcho, all...),
			sink: connect.NewClient[wrapperspb.BytesValue, emptypb.Empty](h, base+connectSink, all...),
			item: connect.NewClient[benchpb.Item, benchpb.Item](h, base+connectItem, append(all, opts...)...),
		}
		// The connection is made by a first call, as with every client of net/http.
		if _, err := c.Call(ctx, nil); err != nil {
			t.CloseIdleConnections()
			return nil, err
		}
		return c, nil
	}
}

func (c *connectClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	r, err := c.echo.CallUnary(ctx, connect.NewRequest(&wrapperspb.BytesValue{Value: req}))
	if err != nil {
		return nil, err
	}
	return r.Msg.GetValue(), nil
}

func (c *connectClient) CallTyped(ctx context.Context, in *item) (*item, error) {
	r, err := c.item.CallUnary(ctx, connect.NewRequest(itemToProto(in)))
	if err != nil {
		return nil, err
	}
	return itemFromProto(r.Msg), nil
}

func (c *connectClient) Send(ctx context.Context, msg []byte, n int) error {
	s := c.sink.CallClientStream(ctx)
	m := &wrapperspb.BytesValue{Value: msg}
	for range n {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	_, err := s.CloseAndReceive()
	return err
}

func (c *connectClient) Close() error {
	c.t.CloseIdleConnections()
	return nil
}
