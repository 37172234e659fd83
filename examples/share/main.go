// Share is the peer-to-peer picture for real: every node offers a folder, with no
// server and no address typed. Anyone lists what all of them offer, and fetches a file by
// the hash of its content from everybody who has it at once, verified chunk by chunk; when
// one of them dies on the way, the others go on.
//
//	go run ./examples/share serve -name kitchen ~/Public    # on any number of machines
//	go run ./examples/share ls
//	go run ./examples/share get HASH
//
// The first prints the addresses it can be reached at, the second a line for each content:
//
//	9b0a...e1    4194304000  2  films/big.iso
//
// which are its hash, its size, how many nodes have it, and a name. Who shares is who has the
// file lan.key, which the first serve makes: copy it to the other machines.
//
// The program is the flags, the output and the exit codes. What it does is in packages
// of their own: shareapi is what all nodes share, folder offers, fetch fetches.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs one command, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr}
	err := p.run(ctx, args)
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong):
		p.say("share: %v (share -h tells more)", wrong)
		return exitUsage
	}
	p.say("share: %s", explain(err))
	return exitFailed
}

// A program is one run of a command.
type program struct {
	stdout io.Writer
	opts   options

	mu     sync.Mutex
	stderr io.Writer // guarded by mu
}

// say writes a line to standard error, which has nobody to tell if it is gone.
func (p *program) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.stderr, format+"\n", args...)
}

// write writes text to standard error as it is.
func (p *program) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.stderr, text)
}

// print writes a line to standard output.
func (p *program) print(format string, args ...any) error {
	_, err := fmt.Fprintf(p.stdout, format+"\n", args...)
	return err
}

// A command is what the first argument names.
type command struct {
	name  string
	args  int // how many it takes
	flags func(*options, *flag.FlagSet)
	run   func(*program, context.Context, []string) error
}

var commands = []command{
	{"serve", 1, (*options).serveFlags, (*program).serve},
	{"ls", 0, (*options).listFlags, (*program).list},
	{"get", 1, (*options).getFlags, (*program).get},
}
