package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/transporttest"
)

// The suite makes hundreds of connections, so the other end of each pipe is in
// this process; TestChild has a real one.
func TestPipes(t *testing.T) {
	transporttest.Run(t, func(*testing.T) transporttest.Setup {
		far := &children{Transport: newPipes(), l: newListener()}
		far.l.conns = make(chan transport.Conn) // so that none is left in it
		return transporttest.Setup{
			Dialer:         &parent{Transport: newPipes(), start: far.start},
			Listener:       far,
			Addr:           transport.Addr{Scheme: "child", Host: "greeter"},
			NoIdentity:     true, // nobody but the two ends can get at the pipe
			DialsWithoutID: true,
		}
	})
}

// A children is the transport of all children that a parent would have.
type children struct {
	*netconn.Transport
	l *listener

	mu      sync.Mutex
	running sync.WaitGroup // added to under mu, while l is open
}

// start makes the pipes that a child would have, and its end of them.
func (t *children) start(context.Context) (netconn.Pipe, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.l.done:
		return nil, errors.New("nobody listens")
	default:
	}
	in, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirIn, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), theirOut.Close())
	}
	t.running.Add(1)
	// Ends when its connection was accepted, or l is closed; Close waits for it.
	go t.childHandler(&stdio{theirIn, theirOut, func() {}})
	return &stdio{in, out, func() {}}, nil
}

// childHandler does what a child does until it serves.
func (t *children) childHandler(p netconn.Pipe) {
	defer t.running.Done()
	c, err := t.Server(context.Background(), p)
	if err != nil {
		return // the parent has gone again
	}
	select {
	case t.l.conns <- c:
	case <-t.l.done:
		_ = c.CloseWithError(kith.Unavailable, "nobody accepts")
	}
}

// Listen implements [transport.Transport], once.
func (t *children) Listen(context.Context, transport.Addr) (transport.Listener, error) {
	select {
	case <-t.l.done:
		return nil, transport.ErrClosed
	default:
		return t.l, nil
	}
}

// Close implements [transport.Transport].
func (t *children) Close() error {
	t.mu.Lock() // for start
	err := t.l.Close()
	t.mu.Unlock()
	err = errors.Join(err, t.Transport.Close())
	t.running.Wait()
	return err
}
