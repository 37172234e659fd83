// Chat is a chat on the LAN, for the terminal: no server, no address, everybody
// equal. It shows a peer.Node at work: who is there, who comes, who leaves and who
// is lost, calls to all, and a key that keeps strangers out.
//
//	go run ./examples/chat -name Ada    # in one terminal
//	go run ./examples/chat -name Bob    # in another, in the same directory
//	go run ./examples/chat -h
//
// What is typed goes to all who are here. Ada sees, for example:
//
//   - you are Ada; others need the key in lan.key, fingerprint 3kq7dzru
//   - Bob is here
//     Bob: hello, Ada
//   - lost Bob: no answer for 4s
//   - Bob is back
//   - Bob left
//
// The parts of the program: flags.go has the command line; enter.go comes and goes;
// room.go knows who is there, say.go what is said, screen.go what is shown.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
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
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run chats until stdin or ctx ends, and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	if err == nil {
		err = chat(ctx, o, stdin, stdout, stderr)
	}
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(stderr, "chat: %v (chat -h tells more)\n", err) // nobody to tell if it is gone
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "chat: %v\n", err)
	return exitFailed
}

// leaveTime is how long the last lines and the calls of others have to end.
const leaveTime = 3 * time.Second

func chat(ctx context.Context, o *options, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	s := newScreen(stdout)
	defer s.close()
	r, err := enter(ctx, o, s, stderr)
	if err != nil {
		return err
	}
	typed := make(chan string)
	go typeLoop(ctx, stdin, typed) // ends with stdin, or, unless it hangs there, with ctx; nobody waits
	r.await(ctx, o.wait)
	for ctx.Err() == nil {
		select {
		case line, ok := <-typed:
			if !ok {
				return r.leave(leaveTime)
			}
			r.typed(line)
		case <-ctx.Done():
		}
	}
	return r.leave(leaveTime)
}

// typeLoop reads what is typed, line by line. A line that is too long becomes
// several.
func typeLoop(ctx context.Context, stdin io.Reader, typed chan<- string) {
	defer close(typed)
	b := bufio.NewReaderSize(stdin, maxText)
	for {
		line, _, err := b.ReadLine()
		if err != nil {
			return
		}
		select {
		case typed <- string(line):
		case <-ctx.Done():
			return
		}
	}
}
