// Hello is two nodes that find, trust and call each other, with no server and no
// address: each greets whom it finds.
//
//	go run ./examples/hello Ada    # in one terminal
//	go run ./examples/hello Bob    # in another, or on another machine of the LAN
//
// The first prints "Bob greets Ada", the second "Ada greets Bob". Trust is the file
// lan.key, which the first makes: another machine needs a copy. Ctrl-C leaves.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport/admit"
)

var greet = kith.Unary[string, string]("hello/Greet")

func main() {
	secret, err := admit.LoadNetworkKey("lan.key")
	if errors.Is(err, fs.ErrNotExist) {
		secret = admit.NewNetworkKey()
		err = secret.Save("lan.key")
	}
	check(err)
	var h kith.Handlers
	greet.Handle(&h, func(_ context.Context, you string) (string, error) { return name() + " greets " + you, nil })
	node, err := peer.New(peer.Config{Name: name(), Handlers: &h, Admit: admit.NetworkKey(secret)})
	check(err)
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt) // Ctrl-C
	check(node.Join(ctx))
	for ev := range node.Watch(ctx) { // until ctx ends
		if ev.Kind == peer.Up {
			show(greet.Call(ctx, node.Peer(ev.Info.ID), name()))
		}
	}
	check(node.Leave(context.Background()))
}

func name() string {
	if len(os.Args) != 2 || strings.HasPrefix(os.Args[1], "-") {
		log.Fatal("usage: hello NAME")
	}
	return os.Args[1]
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func show(text string, err error) {
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(strconv.Quote(text)) // it may hold anything
}
