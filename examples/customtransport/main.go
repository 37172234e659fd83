// Customtransport shows two transports of one's own, with a typed call over
// each: unix sockets, which take a dozen lines (unix.go), and a child process,
// called over its standard input and output (pipes.go, process.go). The test of
// each is one call: transporttest.Run, and RunPipe for what has only a pipe.
// Wrap.go counts what passes a connection.
//
//	go run ./examples/customtransport
//
// It prints where it calls, and what is answered:
//
//	this is process 4711
//	unix://bxjmfwsj...@/tmp/kith371/greeter
//	  "Hello, unix socket! This is process 4711."
//	child://greeter
//	  "Hello, pipes! This is process 4712."
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/netconn"
)

// greet is the contract of whoever serves here.
var greet = kith.Unary[string, string]("greeter/Greet")

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch {
	case len(os.Args) == 2 && os.Args[1] == "child":
		check(serveParent(ctx))
		return
	case len(os.Args) > 1:
		log.Fatal("usage: customtransport")
	}
	fmt.Println("this is process", os.Getpid())
	check(overUnixSocket(ctx))
	check(overChild(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func newServer(policy admit.Policy) (*server.Server, error) {
	var h kith.Handlers
	greet.Handle(&h, func(_ context.Context, name string) (string, error) {
		return fmt.Sprintf("Hello, %s! This is process %d.", name, os.Getpid()), nil
	})
	return server.New(server.Config{Handlers: &h, Admit: policy})
}

// call greets whoever answers at a.
func call(ctx context.Context, t transport.Transport, a transport.Addr, name string) error {
	c, err := client.Dial(ctx, client.Config{Transport: t, Addrs: []string{a.String()}})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	text, err := greet.Call(ctx, c, name)
	if err == nil {
		fmt.Printf("%v\n  %q\n", a, text)
	}
	return err
}

// overUnixSocket serves and calls over a socket, as two ends that prove who
// they are: a file's permissions are not all that stands between them.
func overUnixSocket(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	near, far := unixSockets(kith.NewKey()), unixSockets(kith.NewKey())
	defer func() { _, _ = near.Close(), far.Close() }()
	srv, err := newServer(admit.Pins(near.ID()))
	if err != nil {
		return err
	}
	l, err := far.Listen(ctx, transport.Addr{Path: filepath.Join(dir, "greeter")})
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	defer func() { _, _ = srv.Shutdown(ctx), <-served }()
	return call(ctx, near, l.Addr(), "unix socket") // the address has the server's ID
}

// overChild starts this program again, and calls it.
func overChild(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := newPipes(func(context.Context) (netconn.Pipe, error) {
		return startProcess(exec.Command(self, "child"))
	})
	defer func() { _ = t.Close() }() // waits for the process
	return call(ctx, t, transport.Addr{Scheme: "child", Host: "greeter"}, "pipes")
}
