package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func Example() {
	// What both sides share is usually in a package of its own.
	greet := kith.Unary[string, string]("greet/Greet")

	var h kith.Handlers
	greet.Handle(&h, func(ctx context.Context, name string) (string, error) {
		return "hello " + name, nil
	})
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		fmt.Println(err)
		return
	}

	// Listening before serving, as here, one knows the address.
	ctx := context.Background()
	tr := memory.New(memory.Config{}) // or tcp.New, quic.New
	defer tr.Close()
	l, err := tr.Listen(ctx, transport.Addr{Host: "here"})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()

	c, err := client.Dial(ctx, client.Config{Transport: tr, Addrs: []string{l.Addr().String()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(greet.Call(ctx, c, "Ada"))

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	<-served
	// Output:
	// hello Ada <nil>
	// <nil>
}

// serveHere serves h and returns a client that is connected to it.
func serveHere(h *kith.Handlers) (c *client.Client, stop func(), err error) {
	srv, err := server.New(server.Config{Handlers: h, Admit: admit.Anyone()})
	if err != nil {
		return nil, nil, err
	}
	ctx, tr := context.Background(), memory.New(memory.Config{})
	l, err := tr.Listen(ctx, transport.Addr{Host: "here"})
	if err != nil {
		return nil, nil, err
	}
	go srv.Serve(ctx, l)
	c, err = client.Dial(ctx, client.Config{Transport: tr, Addrs: []string{l.Addr().String()}})
	return c, func() {
		_ = c.Close()
		_ = srv.Shutdown(ctx)
		_ = tr.Close()
	}, err
}

// Middleware wraps all methods of a set, or one of them.
func ExampleAccess() {
	get := kith.Unary[string, string]("store/Get")
	put := kith.Unary[string, string]("store/Put")
	admin := kith.NewKey().ID()

	var h kith.Handlers
	h.Use(server.Log(slog.New(slog.DiscardHandler)), server.Timeout(time.Minute))
	get.Handle(&h, func(context.Context, string) (string, error) { return "value", nil },
		server.RateLimit(1000, 100))
	put.Handle(&h, func(context.Context, string) (string, error) { return "", nil },
		server.AccessIDs(admin))

	c, stop, err := serveHere(&h)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	fmt.Println(get.Call(context.Background(), c, "key"))
	_, err = put.Call(context.Background(), c, "key=value")
	fmt.Println(kith.CodeOf(err))
	// Output:
	// value <nil>
	// PermissionDenied
}

func ExampleMeter() {
	echo := kith.Unary[string, string]("test/Echo")
	var h kith.Handlers
	var meter server.Meter
	h.Use(meter.Middleware())
	echo.Handle(&h, func(_ context.Context, s string) (string, error) { return s, nil })

	c, stop, err := serveHere(&h)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		_, _ = echo.Call(context.Background(), c, "hello")
	}
	stop()
	for _, m := range meter.Snapshot() {
		fmt.Println(m.Method, m.InFlight, m.Calls)
	}
	// Output: test/Echo 0 map[OK:3]
}
