package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/fetch"
	"github.com/kith-go/kith/examples/share/shareapi"
	"github.com/kith-go/kith/peer"
)

const minLimit = 64 << 10

// get is the command of that name.
func (p *program) get(ctx context.Context, args []string) error {
	o := &p.opts
	hash, err := shareapi.ParseHash(args[0])
	if err != nil {
		return usagef("get: %v", err)
	}
	if o.limit > 0 && o.limit < minLimit {
		return usagef("get: -limit: at least 64k")
	}
	s, err := newScreen(p)
	if err != nil {
		return err
	}
	g, err := p.join(ctx)
	if err != nil {
		return err
	}
	defer g.leave()
	watch, stop := context.WithCancel(ctx)
	var ups sync.WaitGroup
	defer ups.Wait()
	defer stop()
	changed := make(chan struct{}, 1)
	ups.Go(func() { g.upLoop(watch, changed) })
	f, err := fetch.Find(ctx, fetch.Config{
		Group: g, Changed: changed, Patience: o.patience, Rate: int64(o.limit), Progress: s.progress,
		Found: func(id kith.ID) { s.holder(nodeName(g.Peer(id).Info())) },
		Lost:  func(id kith.ID, err error) { s.note("share: %s: %s", nodeName(g.Peer(id).Info()), explain(err)) },
	}, hash)
	if err != nil {
		return err
	}
	to, err := o.target(f.File())
	if err != nil {
		return err
	}
	s.name = f.File().Name
	r, err := f.Save(ctx, to)
	s.end()
	if errors.Is(err, fs.ErrExist) {
		return usagef("get: %s exists; -o FILE says where else to, or replaces it", show(to.Path))
	}
	if err != nil {
		if ctx.Err() != nil {
			return errCut
		}
		return err
	}
	p.from(g.Node, r)
	return p.print("%s  %12d  %s", hash, f.File().Size, show(to.Path))
}

// target returns where a content goes: without -o, under the last part of its name.
// That comes from outside, so it is one that is safe here, and replaces nothing.
func (o *options) target(f shareapi.File) (fetch.Target, error) {
	if o.out != "" {
		return fetch.Target{Path: o.out, Replace: true}, nil
	}
	name := path.Base(f.Name)
	if !shareapi.CheckName(name) || !filepath.IsLocal(name) {
		return fetch.Target{}, usagef("get: its name %s is none here: use -o FILE", show(name))
	}
	return fetch.Target{Path: name}, nil
}

// from says how much came from whom.
func (p *program) from(n *peer.Node, r fetch.Result) {
	if r.Had > 0 {
		p.say("%.1f MB were here", float64(r.Had)/1e6)
	}
	ids := slices.SortedFunc(maps.Keys(r.Got), func(a, b kith.ID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		p.say("%.1f MB from %s", float64(r.Got[id])/1e6, nodeName(n.Peer(id).Info()))
	}
}
