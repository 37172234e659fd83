package discovery_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A medium of your own carries signed bytes. A Table judges what comes, and its Browser tells
// of it.
func ExampleTable() {
	home := discovery.Public("home")
	key := kith.NewKey()
	signed, err := discovery.Sign(key, discovery.Record{
		Network:  home.Network(),
		Sequence: uint64(time.Now().UnixNano()), // rises over restarts, too
		Expires:  time.Now().Add(time.Hour),
		Addrs:    []string{"quic://192.168.1.7:4433"},
		Services: []discovery.Tag{home.Service("greet/Greet")},
	})
	if err != nil {
		log.Fatal(err)
	}
	packet := signed.Append(nil) // travels to another machine

	table := discovery.NewTable(discovery.TableConfig{Network: home.Network()})
	defer table.Close()
	if _, kind, err := table.Put(packet, "192.168.1.7"); err != nil {
		log.Fatal(err)
	} else {
		fmt.Println("Put:", kind)
	}
	ev, err := table.Browse().Next(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Next:", ev.Kind, ev.Record.Addrs, ev.Record.ID == key.ID())
	// Output:
	// Put: Found
	// Next: Found [quic://192.168.1.7:4433] true
}

// The same name makes the same tags everywhere, and only who knows it can make them.
func ExampleNamespace() {
	home := discovery.Public("home")
	fmt.Println(home.Network() == discovery.Public("home").Network())
	fmt.Println(home.Service("greet/Greet") == discovery.Public("work").Service("greet/Greet"))
	// Output:
	// true
	// false
}
