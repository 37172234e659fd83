package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const help = `usage: fileserver COMMAND [FLAGS] [ARGUMENTS]

The server:
  serve -dir DIR -allow WHO     serve the files of a directory, until SIGINT or SIGTERM
  id                            print the ID of a key, which is made if there is none

Clients:
  put FILE [NAME]               store a file, by default under its own name
  get NAME [FILE]               fetch a file, by default to its last part
  ls [PREFIX]                   list the files whose names begin with PREFIX
  rm NAME...                    remove files
  watch [PREFIX]                tell what becomes of files, until interrupted

Flags of all clients, before the command or behind it:
  -addr ADDR[,ADDR]   the server: quic://ID@host:port or tcp://ID@host:port; the ID is what
                      "serve" prints (default: the environment's FILESERVER_ADDR)
  -key FILE           this client's private key (default client.key; made if there is none)
  -retry DURATION     go on for so long without progress (default 1m; -1s: for ever)
  -silence DURATION   give a connection up that says nothing for so long (default 15s, at least 2s)

Flags of put and get:
  -progress HOW       bar, lines (for programs), none, or auto: a bar if standard error is a
                      terminal (default auto)
  -limit RATE         bytes a second, such as 500k or 10M (default: no limit)

Flags of watch:
  -snapshot           tell first what there is

Flags of serve:
  -dir DIR            the directory
  -allow WHO          IDs with commas between them, or a file with one ID a line; may be repeated
  -listen ADDR[,ADDR] where to listen (default quic://:4433,tcp://:4433)
  -key FILE           the server's private key (default server.key; made if there is none). It must
                      not be in DIR
  -max-size SIZE      the largest file to take (default 64G; -1: no limit)
  -rescan DURATION    how often to look for changes made by others, while somebody watches
                      (default 2s; -1s: never)
  -keep DURATION      how long a file waits for its rest (default 168h; -1s: for ever)
  -grace DURATION     how long transfers may take to end after SIGTERM (default 10s)
  -quiet              log only what is wrong

A put or get that was cut, by whatever, goes on when the same command is run again.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`

// A usageError says what is wrong with the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// options are the flags of all commands.
type options struct {
	key, addr      string
	retry, silence time.Duration
	progress       string
	limit          size
	snapshot       bool

	dir, listen  string
	allow        []string
	maxSize      size
	rescan, keep time.Duration
	grace        time.Duration
	quiet        bool
}

func (o *options) keyFlag(fs *flag.FlagSet) { fs.StringVar(&o.key, "key", o.key, "") }

func (o *options) clientFlags(fs *flag.FlagSet) {
	o.keyFlag(fs)
	fs.StringVar(&o.addr, "addr", o.addr, "")
	fs.DurationVar(&o.retry, "retry", o.retry, "")
	fs.DurationVar(&o.silence, "silence", o.silence, "")
}

func (o *options) transferFlags(fs *flag.FlagSet) {
	o.clientFlags(fs)
	fs.StringVar(&o.progress, "progress", o.progress, "")
	fs.Var(&o.limit, "limit", "")
}

func (o *options) watchFlags(fs *flag.FlagSet) {
	o.clientFlags(fs)
	fs.BoolVar(&o.snapshot, "snapshot", o.snapshot, "")
}

func (o *options) serveFlags(fs *flag.FlagSet) {
	o.keyFlag(fs)
	fs.StringVar(&o.dir, "dir", "", "")
	fs.StringVar(&o.listen, "listen", "quic://:4433,tcp://:4433", "")
	fs.Func("allow", "", func(s string) error { o.allow = append(o.allow, s); return nil })
	fs.Var(&o.maxSize, "max-size", "")
	fs.DurationVar(&o.rescan, "rescan", 0, "")
	fs.DurationVar(&o.keep, "keep", 0, "")
	fs.DurationVar(&o.grace, "grace", 10*time.Second, "")
	fs.BoolVar(&o.quiet, "quiet", false, "")
}

// run finds the command in args and runs it.
func (p *program) run(ctx context.Context, args []string) error {
	p.opts = options{
		addr: os.Getenv("FILESERVER_ADDR"), retry: time.Minute, silence: 15 * time.Second, progress: "auto",
	}
	args, err := p.parse("flags", p.opts.clientFlags, args)
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
		if len(args) < c.min {
			return usagef("%s: too few arguments", c.name)
		}
		if c.max >= 0 && len(args) > c.max {
			return usagef("%s: too many arguments: %q (flags come before them)", c.name, args[c.max:])
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
	if err != nil || n > (1<<63-1)/unit || n < -1 {
		return errors.New("want a number of bytes such as 4096, 500k, 10M or 2G")
	}
	*s = size(n * unit)
	return nil
}
