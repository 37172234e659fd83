package main

import (
	"context"
	"time"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
)

// list is the command ls: size, time and name of each file.
func (p *program) list(ctx context.Context, args []string) error {
	return p.withServer(quietScreen(p), func(c *fileclient.Client) error {
		for f, err := range c.List(ctx, first(args)) {
			if err != nil {
				return err
			}
			if err := p.print("%12d  %s  %s", f.Size, f.Modified.Local().Format(time.DateTime), show(f.Name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove is the command rm. It goes on after a file that it cannot remove.
func (p *program) remove(ctx context.Context, args []string) error {
	return p.withServer(quietScreen(p), func(c *fileclient.Client) error {
		var err error
		for _, name := range args {
			if failed := c.Remove(ctx, name); failed != nil {
				p.say("fileserver: rm %s: %s", show(name), p.explain(failed))
				err = errTold
			}
			if ctx.Err() != nil {
				break
			}
		}
		return err
	})
}

// watch is the command of that name: one line for each event.
func (p *program) watch(ctx context.Context, args []string) error {
	return p.withServer(quietScreen(p), func(c *fileclient.Client) error {
		for e, err := range c.Watch(ctx, first(args), p.opts.snapshot) {
			switch {
			case err != nil && ctx.Err() != nil:
				return nil // that is how one ends a watch
			case err != nil:
				return err
			case e.Change == fileapi.Ready:
				err = p.print("%s", e.Change)
			default:
				err = p.print("%-7s %12d  %s", show(string(e.Change)), e.File.Size, show(e.File.Name))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
