package quic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
)

func Example() {
	ctx := context.Background()
	server := quic.New(quic.Config{Key: kith.NewKey()}) // kith.LoadKey keeps one in a file
	defer server.Close()
	l, err := server.Listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}

	client := quic.New(quic.Config{Key: kith.NewKey()})
	defer client.Close()
	conn, err := client.Dial(ctx, l.Addr()) // quic://ID@127.0.0.1:port
	if err != nil {
		log.Fatal(err)
	}
	ask, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer ask.Close()
	if err := transport.WriteLast(ask, []byte("who am I?")); err != nil {
		log.Fatal(err)
	}

	accepted, err := l.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := accepted.AcceptStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Close()
	if _, err := io.ReadAll(answer); err != nil {
		log.Fatal(err)
	}
	transport.WriteLast(answer, []byte(accepted.Info().Peer.String()))

	id, err := io.ReadAll(ask)
	fmt.Println(string(id) == client.ID().String(), err)
	// Output: true <nil>
}

// The ID in an address says who must answer, whoever has taken the address.
func ExampleTransport_Dial() {
	ctx := context.Background()
	server := quic.New(quic.Config{})
	defer server.Close()
	l, err := server.Listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	client := quic.New(quic.Config{})
	defer client.Close()

	var wrong *transport.PeerError
	_, err = client.Dial(ctx, l.Addr().WithID(kith.NewKey().ID()))
	fmt.Println("another ID:", errors.As(err, &wrong) && wrong.Got == server.ID())
	_, err = client.Dial(ctx, l.Addr().WithID(kith.ID{}))
	fmt.Println("no ID:", errors.Is(err, transport.ErrNoIdentity))
	// Output:
	// another ID: true
	// no ID: true
}
