package static_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/static"
)

// A file lists the nodes; it may change while the program runs.
func Example() {
	dir, err := os.MkdirTemp("", "nodes")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "nodes")
	list := "quic://" + keyOf(1).ID().String() + "@10.0.0.7:4433   # the one in the rack\n"
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		log.Fatal(err)
	}

	d, err := static.New(static.Config{File: file})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	ctx := context.Background()
	b, err := d.Browse(ctx, discovery.Public("home").Network())
	if err != nil {
		log.Fatal(err)
	}
	ev, err := b.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Kind, ev.Record.ID.Short(), ev.Record.Addrs)
	// Output: Found js22x5vn [quic://10.0.0.7:4433]
}
