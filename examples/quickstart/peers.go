package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/mdns"
	"github.com/kith-go/kith/discovery/static"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport/admit"
)

// peers shows the other half: three nodes, each client and server at once, that
// find each other with no server and no address, and share a file.
func peers(ctx context.Context, path string, multicast bool) (err error) {
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Println("three peers")
	trio := &trio{list: filepath.Join(dir, "peers"), multicast: multicast}
	defer trio.close()
	network := admit.NewNetworkKey() // who has it is let in; to others the three say nothing
	for _, name := range []string{"ada", "ben", "cleo"} {
		if err := trio.join(ctx, name, network, path); err != nil {
			return err
		}
	}
	start := time.Now()
	how, err := trio.find(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("  %-10s each other by %s in %v\n", "found", how, time.Since(start).Round(time.Millisecond))
	return trio.share(ctx, filepath.Join(dir, "copy"))
}

// A trio is three peers.
type trio struct {
	nodes     [3]*peer.Node
	n         int       // how many of them there are
	offer     [2]*offer // of the first two
	discs     []discovery.Discovery
	multicast bool   // try it
	list      string // a file with their addresses, for where multicast does not work
}

// join makes the next of the three. All but the last offer the file.
func (t *trio) join(ctx context.Context, name string, network admit.Secret, path string) error {
	list, err := static.New(static.Config{File: t.list, Interval: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	discs := []discovery.Discovery{list}
	if t.multicast {
		m, err := mdns.New(mdns.Config{})
		if err != nil {
			return err
		}
		discs = append(discs, m)
	}
	t.discs = append(t.discs, discs...) // the nodes do not close them
	var h kith.Handlers
	if t.n < len(t.offer) {
		if t.offer[t.n], err = newOffer(&h, path); err != nil {
			return err
		}
	}
	node, err := peer.New(peer.Config{
		Name: name, Handlers: &h, Admit: admit.NetworkKey(network), Discovery: discs,
	})
	if err != nil {
		return err
	}
	t.nodes[t.n] = node
	t.n++
	return node.Join(ctx)
}

// multicastTime is how long multicast has to show that it works here.
const multicastTime = 2 * time.Second

// find waits until all three know each other, and says by what.
func (t *trio) find(ctx context.Context) (how string, err error) {
	if t.multicast {
		soon, cancel := context.WithTimeout(ctx, multicastTime)
		defer cancel()
		if t.awaitUp(soon) == nil {
			return "mDNS", nil
		}
	}
	var addrs []string
	for _, n := range t.nodes {
		addrs = append(addrs, n.Addrs()...)
	}
	if err := os.WriteFile(t.list, []byte(strings.Join(addrs, "\n")), 0o600); err != nil {
		return "", err
	}
	return "a static list, as multicast did not do it,", t.awaitUp(ctx)
}

// awaitUp waits until each of the three is connected to both others.
func (t *trio) awaitUp(ctx context.Context) error {
	for _, n := range t.nodes {
		up := make(map[kith.ID]struct{})
		for ev := range n.Watch(ctx) { // starts with those that are there
			if ev.Info.Up {
				up[ev.Info.ID] = struct{}{}
			} else {
				delete(up, ev.Info.ID)
			}
			if len(up) == len(t.nodes)-1 {
				break
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// close ends what there is, whatever state it is in.
func (t *trio) close() {
	for _, n := range t.nodes[:t.n] {
		_ = n.Close() // always nil
	}
	for _, d := range t.discs {
		_ = d.Close() // nothing is left to be done
	}
	for _, o := range t.offer {
		if o != nil {
			_ = o.file.Close() // it was only read
		}
	}
}
