// Fileserver is the client-server picture for real: one server that is always
// on holds the files of a directory, and clients put, get, list, remove and
// watch them, over QUIC or TCP. It shows streams both ways, errors that both
// sides know, access by identity, and transfers that go on where they were when
// the connection, the client or the server is lost, even by kill -9.
//
//	go run ./examples/fileserver id -key client.key
//	go run ./examples/fileserver serve -dir /srv/files -allow ID
//	go run ./examples/fileserver put -addr quic://ID@host:4433 big.iso
//	go run ./examples/fileserver -h
//
// The first prints the ID of the client, which the second lets in. The second
// prints the addresses at which it can be reached, with its own ID in them. The
// third prints, after a progress bar:
//
//	4194304000 9b0a...e1  big.iso
//
// The program is the flags, the output and the exit codes. What it does is in
// packages of their own, to be used in other programs: fileapi is what both
// sides share, filestore the server's half, fileclient the client's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errTold):
		return exitFailed
	case errors.As(err, &wrong):
		p.say("fileserver: %v (fileserver -h tells more)", wrong)
		return exitUsage
	}
	p.say("fileserver: %s", p.explain(err))
	return exitFailed
}

// A program is one run of a command.
type program struct {
	stdout, stderr io.Writer
	opts           options
}

// say writes a line to standard error, which has nobody to tell if it is gone.
func (p *program) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stderr, format+"\n", args...)
}

// print writes a line to standard output.
func (p *program) print(format string, args ...any) error {
	_, err := fmt.Fprintf(p.stdout, format+"\n", args...)
	return err
}

// A command is what the first argument names.
type command struct {
	name     string
	min, max int // how many arguments it takes; max < 0 for any number
	flags    func(*options, *flag.FlagSet)
	run      func(*program, context.Context, []string) error
}

var commands = []command{
	{"serve", 0, 0, (*options).serveFlags, (*program).serve},
	{"id", 0, 0, (*options).keyFlag, (*program).id},
	{"put", 1, 2, (*options).transferFlags, (*program).put},
	{"get", 1, 2, (*options).transferFlags, (*program).get},
	{"ls", 0, 1, (*options).clientFlags, (*program).list},
	{"rm", 1, -1, (*options).clientFlags, (*program).remove},
	{"watch", 0, 1, (*options).watchFlags, (*program).watch},
}
