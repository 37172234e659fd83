package main

import (
	"context"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
)

const (
	minSilence = 2 * time.Second
	maxBackoff = 2 * time.Second
	maxDial    = 10 * time.Second
)

// withServer gives do a client of the server. Nothing is sent before it is used.
func (p *program) withServer(s *screen, do func(*fileclient.Client) error) error {
	o := &p.opts
	if o.addr == "" {
		return usagef("no -addr, nor FILESERVER_ADDR: \"fileserver serve\" prints what it has to be")
	}
	addrs, err := parseAddrs(o.addr)
	if err != nil {
		return usagef("-addr: %v", err)
	}
	for _, a := range addrs {
		if a.ID.IsZero() {
			return usagef("-addr: %s has no ID: without it, nobody could tell who answers", a)
		}
	}
	if o.silence < minSilence {
		return usagef("-silence: want at least %v: a server answers once a second", minSilence)
	}
	key, err := p.clientKey()
	if err != nil {
		return err
	}
	transports := newTransports(key, nil)
	defer func() { _ = transports.Close() }()
	c, err := client.New(client.Config{
		Transport: transports, Addrs: strings.Split(o.addr, ","),
		// A transfer tries by itself, and should be the first to know when it can.
		BackoffMax: maxBackoff, DialTimeout: min(o.silence, maxDial),
		Ping: o.silence / 3, Silence: o.silence,
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return do(fileclient.New(fileclient.Config{
		Caller: c, Retry: o.retry, Rate: int64(o.limit), Progress: s.progress, Retrying: s.retrying,
	}))
}

func (p *program) clientKey() (*kith.Key, error) {
	return kith.LoadKey(orDefault(p.opts.key, "client.key"))
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// id is the command of that name.
func (p *program) id(context.Context, []string) error {
	key, err := p.clientKey()
	if err != nil {
		return err
	}
	return p.print("%s", key.ID())
}

// put is the command of that name.
func (p *program) put(ctx context.Context, args []string) error {
	file, name := args[0], filepath.Base(args[0])
	if len(args) > 1 {
		name = args[1]
	}
	return p.transfer(ctx, "put", name, func(c *fileclient.Client) (fileapi.Content, error) { return c.Put(ctx, file, name) })
}

// get is the command of that name.
func (p *program) get(ctx context.Context, args []string) error {
	name, file := args[0], path.Base(args[0])
	if len(args) > 1 {
		file = args[1]
	}
	return p.transfer(ctx, "get", name, func(c *fileclient.Client) (fileapi.Content, error) { return c.Get(ctx, name, file) })
}

// transfer moves one file, and prints its size, digest and name.
func (p *program) transfer(ctx context.Context, verb, name string, move func(*fileclient.Client) (fileapi.Content, error)) error {
	if err := fileapi.CheckName(name); err != nil {
		return usagef("%s: %s", verb, p.explain(err))
	}
	s, err := newScreen(p, verb)
	if err != nil {
		return err
	}
	return p.withServer(s, func(c *fileclient.Client) error {
		content, err := move(c)
		s.end()
		if ctx.Err() != nil && err != nil {
			return errCut
		}
		if err != nil {
			return err
		}
		return p.print("%d %s  %s", content.Size, content.SHA256, name)
	})
}
