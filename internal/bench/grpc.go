package main

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/kith-go/kith/internal/bench/benchpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const grpcPath = "google.golang.org/grpc"

// grpc-go with its default windows and buffers, which its own benchmarks use too. Bytes
// travel as google.protobuf.BytesValue.
var (
	grpcPlain   = grpcSystem("grpc", "grpc-go unary, plaintext, BytesValue", false, newGRPCUnary)
	grpcTLS     = grpcSystem("grpc-tls", "grpc-go unary, TLS 1.3, BytesValue", true, newGRPCUnary)
	grpcBidi    = grpcSystem("grpc-bidi", "grpc-go, calls over one bidi stream, plaintext", false, newGRPCBidi)
	grpcBidiTLS = grpcSystem("grpc-bidi-tls", "grpc-go, calls over one bidi stream, TLS 1.3", true, newGRPCBidi)
)

// What the service's methods are called on the wire.
const (
	grpcEcho = "/kith.bench.Bench/Echo"
	grpcItem = "/kith.bench.Bench/Item"
	grpcSink = "/kith.bench.Bench/Sink"
	grpcChat = "/kith.bench.Bench/Chat"
)

func grpcSystem(name, what string, secure bool, open func(*grpc.ClientConn) (client, error)) system {
	return system{
		name: name, what: what, path: grpcPath,
		serve: func(addr string) (server, error) { return grpcServe(addr, secure) },
		dial: func(ctx context.Context, addr string) (client, error) {
			c, err := grpcDial(ctx, addr, secure)
			if err != nil {
				return nil, err
			}
			cl, err := open(c)
			if err != nil {
				_ = c.Close() // the stream's error is the one to tell
				return nil, err
			}
			return cl, nil
		},
	}
}

// A grpcServer runs serveLoop.
type grpcServer struct {
	l    net.Listener
	srv  *grpc.Server
	done chan struct{} // closed by serveLoop
}

func grpcServe(addr string, secure bool) (server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	opts := []grpc.ServerOption{grpc.MaxRecvMsgSize(maxPayload)}
	if secure {
		cfg, _ := tlsPair()
		opts = append(opts, grpc.Creds(credentials.NewTLS(cfg)))
	}
	s := &grpcServer{l: l, srv: grpc.NewServer(opts...), done: make(chan struct{})}
	s.srv.RegisterService(&grpcDesc, struct{}{})
	go s.serveLoop()
	return s, nil
}

// serveLoop ends with Close, which waits for it.
func (s *grpcServer) serveLoop() {
	defer close(s.done)
	_ = s.srv.Serve(s.l) // what matters fails the calls
}

func (s *grpcServer) Addr() string { return s.l.Addr().String() }

func (s *grpcServer) Close() error {
	s.srv.Stop()
	<-s.done
	return nil
}

// grpcDesc is written by hand as protoc-gen-go-grpc would write it.
var grpcDesc = grpc.ServiceDesc{
	ServiceName: "kith.bench.Bench",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Echo", Handler: grpcEchoes[wrapperspb.BytesValue]},
		{MethodName: "Item", Handler: grpcEchoes[benchpb.Item]},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Sink", Handler: serveGRPCSink, ClientStreams: true},
		{StreamName: "Chat", Handler: serveGRPCChat, ClientStreams: true, ServerStreams: true},
	},
}

// grpcEchoes answers with the message that came.
func grpcEchoes[T any](_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(T)
	if err := decode(in); err != nil {
		return nil, err
	}
	return in, nil
}

// serveGRPCSink drops messages, and answers at their end.
func serveGRPCSink(_ any, s grpc.ServerStream) error {
	for {
		var m wrapperspb.BytesValue
		err := s.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return s.SendMsg(&emptypb.Empty{})
		}
		if err != nil {
			return err
		}
	}
}

// serveGRPCChat echoes messages in the order in which they come.
func serveGRPCChat(_ any, s grpc.ServerStream) error {
	for {
		var m wrapperspb.BytesValue
		err := s.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
}

// grpcDial returns when the connection is ready.
func grpcDial(ctx context.Context, addr string, secure bool) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if secure {
		_, cfg := tlsPair()
		creds = credentials.NewTLS(cfg)
	}
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxPayload)))
	if err != nil {
		return nil, err
	}
	c.Connect()
	for st := c.GetState(); st != connectivity.Ready; st = c.GetState() {
		if !c.WaitForStateChange(ctx, st) {
			_ = c.Close() // ctx's error is the one to tell
			return nil, ctx.Err()
		}
	}
	return c, nil
}

// A grpcClient makes unary calls.
type grpcClient struct{ c *grpc.ClientConn }

func newGRPCUnary(c *grpc.ClientConn) (client, error) { return &grpcClient{c}, nil }

func (g *grpcClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	var out wrapperspb.BytesValue
	err := g.c.Invoke(ctx, grpcEcho, &wrapperspb.BytesValue{Value: req}, &out)
	return out.GetValue(), err
}

func (g *grpcClient) CallTyped(ctx context.Context, in *item) (*item, error) {
	var out benchpb.Item
	if err := g.c.Invoke(ctx, grpcItem, itemToProto(in), &out); err != nil {
		return nil, err
	}
	return itemFromProto(&out), nil
}

func (g *grpcClient) Send(ctx context.Context, msg []byte, n int) error {
	s, err := g.c.NewStream(ctx, &grpcDesc.Streams[0], grpcSink)
	if err != nil {
		return err
	}
	m := &wrapperspb.BytesValue{Value: msg}
	for range n {
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.RecvMsg(&emptypb.Empty{})
}

func (g *grpcClient) Close() error { return g.c.Close() }

// itemToProto and itemFromProto are part of what a typed call costs whoever keeps
// protobuf out of his own types; they copy five words and share the tags.
func itemToProto(v *item) *benchpb.Item {
	return &benchpb.Item{Id: v.ID, Name: v.Name, Score: v.Score, Tags: v.Tags, Active: v.Active}
}

func itemFromProto(p *benchpb.Item) *item {
	return &item{ID: p.GetId(), Name: p.GetName(), Score: p.GetScore(), Tags: p.GetTags(), Active: p.GetActive()}
}
