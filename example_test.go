package kith_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

var (
	greet      = kith.Unary[string, string]("greet/Greet", kith.Idempotent())
	errUnknown = kith.NewError(kith.NotFound, "unknown_name", "nobody of that name")
)

// A server and a client, over memory; for QUIC or TCP only the transport
// differs.
func Example() {
	ctx := context.Background()
	var h kith.Handlers
	greet.Handle(&h, func(_ context.Context, name string) (string, error) {
		if name == "" {
			return "", errUnknown
		}
		return "Hello, " + name + "!", nil
	})
	link := memory.New(memory.Config{})
	defer link.Close()
	l, _ := link.Listen(ctx, transport.Addr{})
	srv, _ := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	go srv.Serve(ctx, l)
	defer srv.Close()

	c, err := client.Dial(ctx, client.Config{Transport: link, Addrs: []string{l.Addr().String()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	text, err := greet.Call(ctx, c, "Ada")
	fmt.Println(text, err)
	_, err = greet.Call(ctx, c, "")
	fmt.Println(errors.Is(err, errUnknown))
	// Output:
	// Hello, Ada! <nil>
	// true
}
