package tcp_test

import (
	"context"
	"fmt"
	"io"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/tcp"
)

func Example() {
	ctx := context.Background()
	server := tcp.New(tcp.Config{Key: kith.NewKey()})
	defer server.Close()
	ln, err := server.Listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		panic(err)
	}
	go func() {
		c, err := ln.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		defer s.Close()
		io.Copy(s, s)
		s.CloseWrite()
	}()

	client := tcp.New(tcp.Config{})
	defer client.Close()
	c, err := client.Dial(ctx, ln.Addr()) // tcp://ID@127.0.0.1:port: the ID pins who answers
	if err != nil {
		panic(err)
	}
	s, err := c.OpenStream(ctx)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	transport.WriteLast(s, []byte("hello"))
	answer, err := io.ReadAll(s)
	fmt.Println(string(answer), err, c.Info().Peer == server.ID())
	// Output: hello <nil> true
}
