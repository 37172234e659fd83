// Quickstart shows the whole of it in one process. First client and server: a typed
// call, each kind of stream, a call back from the server to the client, an error that
// is recognised across the wire, and a file streamed through and verified, over
// QUIC, TCP with TLS, and memory. Then three peers that find each other, by mDNS or,
// where multicast does not work, by a list; two share a file, and the third goes on
// with one when the other is stopped. Keys are made on the spot.
//
//	go run ./examples/quickstart [file]
//
// It prints what it does, with sizes and timings, for each transport:
//
//	quic://yrlbam4m...@127.0.0.1:45141
//	  greet      "Hello, Ada!" in 1.2ms
//	  ...
//	  file       quickstart: 13.1 MB in 74ms, 177 MB/s, SHA-256 85d2471d... verified
//	three peers
//	  found      each other by mDNS in 109ms
//	  gather     2 peers have the file, SHA-256 85d2471d...
//	  share      cleo got 13.1 MB in 136ms: 14 pieces from ada, who was stopped half-way, 38 from ben; verified
//
// By default the file is the running executable itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

func main() {
	path, err := os.Executable()
	if len(os.Args) > 1 {
		path, err = os.Args[1], nil
	}
	if len(os.Args) > 2 || strings.HasPrefix(path, "-") {
		log.Fatal("usage: quickstart [file]")
	}
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	// Each side has a key, and is known by the public half of it.
	serverKey, clientKey := kith.NewKey(), kith.NewKey()
	inProcess := memory.NewNetwork(memory.NetworkConfig{}) // a network that is memory only
	for _, r := range []route{
		{quic.New(quic.Config{Key: serverKey}), quic.New(quic.Config{Key: clientKey}), "127.0.0.1:0"},
		{tcp.New(tcp.Config{Key: serverKey}), tcp.New(tcp.Config{Key: clientKey}), "127.0.0.1:0"},
		{
			inProcess.Transport(memory.Config{Key: serverKey, Host: "server"}),
			inProcess.Transport(memory.Config{Key: clientKey, Host: "client"}), "server",
		},
	} {
		if err := r.run(ctx, clientKey.ID(), path); err != nil {
			log.Fatal(err)
		}
		_, _ = r.dial.Close(), r.listen.Close()
	}
	if err := peers(ctx, path, true); err != nil {
		log.Fatal(err)
	}
}

// A route is how the server listens and how the client gets there.
type route struct {
	listen, dial transport.Transport
	addr         string
}

// run serves on one transport, calls over the other, and ends both without
// losing a call.
func (r route) run(ctx context.Context, clientID kith.ID, path string) error {
	srv, err := server.New(server.Config{
		Handlers: handlers(),
		Admit:    admit.Pins(clientID), // nobody else gets in
	})
	if err != nil {
		return err
	}
	addr, err := transport.ParseAddr(r.addr)
	if err != nil {
		return err
	}
	l, err := r.listen.Listen(ctx, addr)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()

	// The listener's address holds the server's ID: nobody else may answer there.
	fmt.Println(l.Addr())
	c, err := client.Dial(ctx, client.Config{
		Transport: r.dial,
		Addrs:     []string{l.Addr().String()},
		Handlers:  callbacks(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := tour(ctx, c, path); err != nil {
		return err
	}
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, server.ErrClosed) {
		return err
	}
	return nil
}
