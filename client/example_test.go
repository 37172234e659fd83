package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// What both sides share is usually in a package of its own.
var (
	greet      = kith.Unary[string, string]("greet/Greet")
	tick       = kith.Notify[int]("greet/Tick")
	errNobody  = kith.NewError(kith.NotFound, "nobody", "nobody of that name")
	background = context.Background()
)

// serveGreet serves greet until stop is called.
func serveGreet(tr transport.Transport) (addr string, stop func()) {
	var h kith.Handlers
	greet.Handle(&h, func(ctx context.Context, name string) (string, error) {
		switch name {
		case "":
			return "", errNobody
		case "tick me":
			return "done", tick.Call(ctx, kith.CallerFrom(ctx), 7)
		}
		return "hello " + name, nil
	})
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		panic(err)
	}
	l, err := tr.Listen(background, transport.Addr{Host: "server"})
	if err != nil {
		panic(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(background, l) }()
	return l.Addr().String(), func() {
		_ = srv.Close()
		<-served
	}
}

func Example() {
	tr := memory.New(memory.Config{}) // or tcp.New, quic.New
	defer tr.Close()
	addr, stop := serveGreet(tr)
	defer stop()

	c, err := client.Dial(background, client.Config{Transport: tr, Addrs: []string{addr}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(greet.Call(background, c, "Ada"))
	_, err = greet.Call(background, c, "")
	fmt.Println(errors.Is(err, errNobody), kith.Remote(err))
	fmt.Println(c.Stats().State)
	// Output:
	// hello Ada <nil>
	// true true
	// connected
}

// A call that finds no server fails with what was tried, unless it waits.
func ExampleNew() {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	c, err := client.New(client.Config{
		Transport:   tr,
		Addrs:       []string{"memory://server", "memory://spare"},
		BackoffBase: 10 * time.Millisecond,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	_, err = greet.Call(background, c, "Ada")
	var tried *client.DialError
	if errors.As(err, &tried) {
		for _, a := range tried.Attempts {
			fmt.Println(a.Addr, "-", a.Err)
		}
	}
	fmt.Println(kith.CodeOf(err), kith.Unprocessed(err))

	_, stop := serveGreet(tr)
	defer stop()
	ctx, cancel := context.WithTimeout(background, 10*time.Second)
	defer cancel()
	fmt.Println(greet.Call(ctx, c, "Ada", kith.WaitForReady()))
	// Output:
	// memory://server - dial memory://server: connection refused
	// memory://spare - dial memory://spare: connection refused
	// Unavailable true
	// hello Ada <nil>
}

// A client with Handlers is called by its server, over the connection that it
// dialled.
func ExampleDial_handlers() {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	addr, stop := serveGreet(tr)
	defer stop()

	ticks := make(chan int, 1)
	var h kith.Handlers
	tick.Handle(&h, func(_ context.Context, n int) error {
		ticks <- n
		return nil
	})
	c, err := client.Dial(background, client.Config{Transport: tr, Addrs: []string{addr}, Handlers: &h})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(greet.Call(background, c, "tick me"))
	fmt.Println("tick", <-ticks)
	fmt.Println(c.Shutdown(background))
	// Output:
	// done <nil>
	// tick 7
	// <nil>
}

// Middleware sees all calls of a client, of every kind.
func ExampleConfig_middleware() {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	addr, stop := serveGreet(tr)
	defer stop()

	codes := func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, call kith.Call) error {
			err := next(ctx, call)
			fmt.Println(call.Method.Name(), kith.CodeOf(err))
			return err
		}
	}
	c, err := client.Dial(background, client.Config{
		Transport: tr, Addrs: []string{addr}, Middleware: []kith.Middleware{codes},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	_, _ = greet.Call(background, c, "Ada")
	_, _ = greet.Call(background, c, "")
	// Output:
	// greet/Greet OK
	// greet/Greet NotFound
}
