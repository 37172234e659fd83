// The client of examples/greet: it asks the server at the given address, which
// only the server with the ID in it can answer.
//
//	go run ./examples/greet/client quic://ID@localhost:4433 Ada
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/examples/greet/greetapi"
	"github.com/kith-go/kith/transport/quic"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: client ADDRESS NAME")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{
		Transport: quic.New(quic.Config{}), // no key: a fresh identity
		Addrs:     os.Args[1:2],
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	text, err := greetapi.Greet.Call(ctx, c, os.Args[2])
	switch {
	case errors.Is(err, greetapi.ErrUnknown):
		log.Fatal("it does not know you")
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(text)
}
