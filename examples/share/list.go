package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/fetch"
	"github.com/kith-go/kith/examples/share/shareapi"
	"github.com/kith-go/kith/peer"
)

const (
	maxContents = 100_000 // that are listed
	listTime    = 10 * time.Second
)

// A content is what some nodes offer, by whatever names.
type content struct {
	shareapi.File // with the first name of all
	nodes         map[kith.ID]struct{}
}

// A catalogue is what all nodes offer, as far as they have answered.
type catalogue struct {
	p    *program
	node *guest
	asks sync.WaitGroup

	mu       sync.Mutex
	contents map[shareapi.Hash]*content // guarded by mu
	answered int                        // guarded by mu
	cut      bool                       // guarded by mu
}

// list is the command ls.
func (p *program) list(ctx context.Context, _ []string) error {
	g, err := p.join(ctx)
	if err != nil {
		return err
	}
	defer g.leave()
	c := &catalogue{p: p, node: g, contents: make(map[shareapi.Hash]*content)}
	c.collect(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.answered == 0 {
		return errNobodyThere
	}
	if c.cut {
		p.say("share: there is more than %d, the rest is left out", maxContents)
	}
	for _, e := range slices.SortedFunc(maps.Values(c.contents), func(a, b *content) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.Hash[:], b.Hash[:]))
	}) {
		if err := p.print("%s  %12d  %d  %s", e.Hash, e.Size, len(e.nodes), show(e.Name)); err != nil {
			return err
		}
	}
	return nil
}

// collect asks each node as it comes, until it is time or enough have
// answered.
func (c *catalogue) collect(ctx context.Context) {
	waiting, enough := context.WithTimeout(ctx, c.p.opts.wait)
	defer enough()
	asked := make(map[kith.ID]struct{})
	for ev := range c.node.Watch(waiting) {
		_, before := asked[ev.Info.ID]
		if ev.Kind != peer.Up || before || !slices.Contains(ev.Info.Methods, shareapi.List.Name()) || len(asked) == maxNodes {
			continue
		}
		asked[ev.Info.ID] = struct{}{}
		c.asks.Go(func() { c.askHandler(ctx, ev.Info, enough) })
	}
	c.asks.Wait()
}

// askHandler asks one node. It ends with ctx, or after listTime; collect waits for it.
func (c *catalogue) askHandler(ctx context.Context, info peer.Info, enough func()) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	files, err := fetch.List(ctx, c.node.Peer(info.ID))
	if err != nil && ctx.Err() == nil {
		c.p.say("share: %s: %s", nodeName(info), explain(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		c.addLocked(info.ID, f)
	}
	if err == nil {
		c.answered++
	}
	if c.answered == c.p.opts.nodes {
		enough()
	}
}

func (c *catalogue) addLocked(id kith.ID, f shareapi.File) {
	e := c.contents[f.Hash]
	if e == nil {
		if len(c.contents) == maxContents {
			c.cut = true
			return
		}
		e = &content{File: f, nodes: make(map[kith.ID]struct{})}
		c.contents[f.Hash] = e
	}
	e.Name = min(e.Name, f.Name)
	e.nodes[id] = struct{}{}
}
