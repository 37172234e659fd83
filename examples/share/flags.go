package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const help = `usage: share COMMAND [FLAGS] [ARGUMENTS]

  serve DIR   offer the files of a folder, until SIGINT or SIGTERM; those whose name begins with
              a dot are not offered, nor what symbolic links point to
  ls          list what all nodes offer: hash, size, number of nodes, a name
  get HASH    fetch a content from all who have it

Flags of all commands, before the command or behind it:
  -network-key-file FILE   the key that all nodes of the network have (default lan.key; "serve" makes
                           it if missing: copy it to the other machines)
  -open                    no key: share with everybody on the LAN
  -peers FILE              look for nodes at the addresses in FILE, one a line as "serve" prints
                           them, instead of by multicast
  -v                       log what becomes of connections

Flags of serve:
  -name NAME               what others call this node (default: the host's name)
  -key-file FILE           the node's own key, made if missing (default: a new one each time)
  -listen ADDR[,ADDR]      where to listen (default quic://:0,tcp://:0)
  -rescan DURATION         how often to look for changes in DIR (default 2s)

Flags of ls:
  -wait DURATION           how long to wait for nodes (default 2s)
  -nodes N                 do not wait any longer once N nodes have answered

Flags of get:
  -o FILE                  where to put it, replacing what is there (default: under its own name
                           here, replacing nothing)
  -patience DURATION       how long to go on without anything new (default 30s; -1s: for ever)
  -limit RATE              bytes a second, such as 500k or 10M (default: no limit; at least 64k)
  -progress HOW            bar, lines (for programs), none, or auto: a bar if standard error is a
                           terminal (default auto)

A get that was cut, by whatever, goes on when the same command is run again.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`

// A usageError says what is wrong with the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// options are the flags of all commands.
type options struct {
	networkKey, peers string
	open, verbose     bool

	name, key, listen string
	rescan            time.Duration

	wait  time.Duration
	nodes int

	out, progress string
	patience      time.Duration
	limit         size
}

func (o *options) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.networkKey, "network-key-file", o.networkKey, "")
	fs.BoolVar(&o.open, "open", o.open, "")
	fs.StringVar(&o.peers, "peers", o.peers, "")
	fs.BoolVar(&o.verbose, "v", o.verbose, "")
}

func (o *options) serveFlags(fs *flag.FlagSet) {
	o.flags(fs)
	fs.StringVar(&o.name, "name", "", "")
	fs.StringVar(&o.key, "key-file", "", "")
	fs.StringVar(&o.listen, "listen", "quic://:0,tcp://:0", "")
	fs.DurationVar(&o.rescan, "rescan", 2*time.Second, "")
}

func (o *options) listFlags(fs *flag.FlagSet) {
	o.flags(fs)
	fs.DurationVar(&o.wait, "wait", 2*time.Second, "")
	fs.IntVar(&o.nodes, "nodes", 0, "")
}

func (o *options) getFlags(fs *flag.FlagSet) {
	o.flags(fs)
	fs.StringVar(&o.out, "o", "", "")
	fs.DurationVar(&o.patience, "patience", 30*time.Second, "")
	fs.Var(&o.limit, "limit", "")
	fs.StringVar(&o.progress, "progress", "auto", "")
}

// run finds the command in args and runs it.
func (p *program) run(ctx context.Context, args []string) error {
	p.opts = options{networkKey: "lan.key"}
	args, err := p.parse("flags", p.opts.flags, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("no command")
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		args, err := p.parse(c.name, func(fs *flag.FlagSet) { c.flags(&p.opts, fs) }, args[1:])
		if err != nil {
			return err
		}
		if len(args) < c.args {
			return usagef("%s: too few arguments", c.name)
		}
		if len(args) > c.args {
			return usagef("%s: too many arguments: %q (flags come before them)", c.name, args[c.args:])
		}
		return c.run(p, ctx, args)
	}
	return usagef("no command %q", args[0])
}

// parse reads flags, and returns what is behind them.
func (p *program) parse(name string, add func(*flag.FlagSet), args []string) ([]string, error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	add(fs)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil, errors.Join(err, p.print("%s", strings.TrimSpace(help)))
	}
	if err != nil {
		return nil, usagef("%s: %v", name, err)
	}
	return fs.Args(), nil
}

// A size is a number of bytes: 4096, 500k, 10M, 2G.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set implements flag.Value.
func (s *size) Set(text string) error {
	units := map[string]int64{"k": 1 << 10, "K": 1 << 10, "m": 1 << 20, "M": 1 << 20, "g": 1 << 30, "G": 1 << 30}
	unit := int64(1)
	number := text
	if len(text) > 0 && units[text[len(text)-1:]] > 0 {
		unit, number = units[text[len(text)-1:]], text[:len(text)-1]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<63-1)/unit {
		return errors.New("want a number of bytes such as 4096, 500k, 10M or 2G")
	}
	*s = size(n * unit)
	return nil
}
