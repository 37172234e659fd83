package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/kith-go/kith/transport/admit"
)

// exitGrace is how long a child may live on when its parent has hung up.
const exitGrace = 2 * time.Second

// A process is a child's standard input and output as one pipe.
type process struct {
	io.Reader
	io.Writer
	end func() error
}

// startProcess starts cmd. The pipe ends with it: Close returns when the child
// has exited, by itself or not.
func startProcess(cmd *exec.Cmd) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{out, in, sync.OnceValue(func() error {
		err := errors.Join(in.Close(), out.Close())
		late := time.AfterFunc(exitGrace, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		return errors.Join(err, cmd.Wait())
	})}, nil
}

// Close ends the pipe, and the child.
func (p *process) Close() error { return p.end() }

// A stdio is a process's standard input and output as one pipe.
type stdio struct {
	in, out *os.File
	closed  func() // called by Close
}

func (p *stdio) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *stdio) Write(b []byte) (int, error) { return p.out.Write(b) }

// Close ends the pipe.
func (p *stdio) Close() error {
	defer p.closed()
	return errors.Join(p.in.Close(), p.out.Close())
}

// serveParent is the child: it serves the one connection that there is, until
// the parent hangs up.
func serveParent(ctx context.Context) error {
	in, out, err := standardFiles()
	if err != nil {
		return err
	}
	os.Stdout = os.Stderr                 // what is printed must not get into the pipe
	srv, err := newServer(admit.Anyone()) // whoever has the other end made this process
	if err != nil {
		return err
	}
	t := newPipes(nil)
	defer func() { _ = t.Close() }()
	ctx, hungUp := context.WithCancel(ctx)
	defer hungUp()
	c, err := t.Server(ctx, &stdio{in, out, hungUp})
	if err != nil {
		return err
	}
	_ = srv.Serve(ctx, newListener(c)) // ends with ctx
	return srv.Close()
}
