package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/folder"
	"github.com/kith-go/kith/peer"
)

// serve is the command of that name.
func (p *program) serve(ctx context.Context, args []string) error {
	o, dir := &p.opts, args[0]
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usagef("serve: %s is not a directory", dir)
	}
	if err := p.keysOutside(dir); err != nil {
		return err
	}
	policy, err := p.policy(true)
	if err != nil {
		return err
	}
	log := p.log(slog.LevelWarn)
	found, err := p.discovery(log)
	if err != nil {
		return err
	}
	defer func() { _ = closeAll(found) }()
	files, err := folder.Open(dir, folder.Config{Rescan: o.rescan, Changed: p.offering, Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // it was only read
	var h kith.Handlers
	files.Register(&h)
	node, err := peer.New(peer.Config{
		Name: o.nodeName(), KeyFile: o.key, Handlers: &h, Admit: policy, Network: network, Discovery: found,
		Listen: strings.Split(o.listen, ","), MaxCalls: maxCalls, Ping: ping, Silence: silence, Logger: log,
	})
	if err != nil {
		return err
	}
	if err := node.Join(ctx); err != nil {
		return err
	}
	for _, a := range node.Addrs() {
		err = errors.Join(err, p.print("%s", a))
	}
	if err == nil {
		<-ctx.Done()
	}
	end, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := node.Leave(end); err != nil {
		p.say("share: chunks were cut off; others have them from elsewhere: %v", err)
	}
	return err
}

// keysOutside fails if a key would be offered.
func (p *program) keysOutside(dir string) error {
	var err error
	if !p.opts.open {
		err = outside(dir, p.opts.networkKey)
	}
	if p.opts.key != "" && err == nil {
		err = outside(dir, p.opts.key)
	}
	return err
}

// nodeName returns the name, or what there is in its place.
func (o *options) nodeName() string {
	if o.name != "" {
		return o.name
	}
	name, err := os.Hostname()
	if err != nil {
		return "" // it is only a name
	}
	name, _, _ = strings.Cut(name, ".")
	return name[:min(len(name), 63)]
}

// offering says how much is offered now.
func (p *program) offering(s folder.Summary) {
	p.say("offering %d files, %.1f MB", s.Files, float64(s.Bytes)/1e6)
}
