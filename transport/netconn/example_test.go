package netconn_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// A transport of one's own: kith over unix sockets.
func Example() {
	ctx := context.Background()
	unix := netconn.New(netconn.Config{
		Scheme: "unix",
		Dial: func(ctx context.Context, a transport.Addr) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", a.Path)
		},
		Listen: func(ctx context.Context, a transport.Addr) (net.Listener, error) {
			var lc net.ListenConfig
			return lc.Listen(ctx, "unix", a.Path)
		},
	})
	defer unix.Close()

	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ln, err := unix.Listen(ctx, transport.Addr{Path: filepath.Join(dir, "socket")})
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
		io.Copy(s, s)
		s.CloseWrite()
		s.Close()
	}()

	c, err := unix.Dial(ctx, ln.Addr()) // unix://ID@/tmp/...
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
	fmt.Printf("%s %v %v\n", answer, err, c.Info().Peer == unix.ID())
	// Output: hello <nil> true
}

// Two ends of one pipe, which may be a child process's standard input and
// output.
func ExampleTransport_Client() {
	ctx := context.Background()
	ours, theirs := net.Pipe()

	parent := netconn.New(netconn.Config{Scheme: "pipe", Key: kith.NewKey()})
	defer parent.Close()
	child := netconn.New(netconn.Config{Scheme: "pipe", Key: kith.NewKey()})
	defer child.Close()

	go func() {
		c, err := child.Server(ctx, theirs)
		if err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		defer s.Close()
		transport.WriteLast(s, []byte("here I am"))
	}()

	c, err := parent.Client(ctx, ours, transport.Addr{ID: child.ID()})
	if err != nil {
		panic(err)
	}
	s, err := c.OpenStream(ctx)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	s.CloseWrite()
	answer, err := io.ReadAll(s)
	fmt.Printf("%s %v\n", answer, err)
	// Output: here I am <nil>
}
