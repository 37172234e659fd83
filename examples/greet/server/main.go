// The server of examples/greet: it greets whoever calls. It prints the address
// to call, which holds its ID; its key is in greet.key, and made if missing.
//
//	go run ./examples/greet/server
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/greet/greetapi"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
)

func main() {
	listen := flag.String("listen", ":4433", "host:port to listen at")
	flag.Parse()
	key, err := kith.LoadKey("greet.key")
	if err != nil {
		log.Fatal(err)
	}
	var h kith.Handlers
	greetapi.Greet.Handle(&h, func(_ context.Context, name string) (string, error) {
		if name == "" {
			return "", greetapi.ErrUnknown
		}
		return "Hello, " + name + "!", nil
	})
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		log.Fatal(err)
	}
	t := quic.New(quic.Config{Key: key})
	l, err := t.Listen(context.Background(), transport.Addr{Host: *listen})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(srv.Serve(context.Background(), l))
}
