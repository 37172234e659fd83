package mdns_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/mdns"
)

// A node says where it is, and hears of the others.
func Example() {
	network := discovery.Public("example.org/chat")
	key := kith.NewKey()
	record, err := discovery.Sign(key, discovery.Record{
		Network:  network.Network(),
		Sequence: uint64(time.Now().UnixMicro()), // rises over restarts, too
		Expires:  time.Now().Add(time.Hour),
		Addrs:    []string{"quic://192.168.1.7:4433"},
	})
	if err != nil {
		log.Fatal(err)
	}

	d, err := mdns.New(mdns.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := d.Advertise(ctx, record); errors.Is(err, discovery.ErrUnavailable) {
		log.Fatal(err) // it says what is missing
	}
	nodes, err := d.Browse(ctx, network.Network())
	if err != nil {
		log.Fatal(err)
	}
	for {
		ev, err := nodes.Next(ctx)
		if err != nil {
			return
		}
		fmt.Println(ev.Kind, ev.Record.ID, ev.Record.Addrs)
	}
}

// Whom to listen to can be narrowed down.
func ExampleNamed() {
	d, err := mdns.New(mdns.Config{Interfaces: mdns.Named("eth0", "wlan0"), NoIPv6: true})
	fmt.Println(d != nil, err)
	// Output: true <nil>
}
