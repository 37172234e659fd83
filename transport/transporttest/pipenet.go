package transporttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

const (
	pipeScheme = "pipe"
	silentPipe = "silent" // the host at which nobody reads and nobody writes
)

// A pipeNet is where a netconn.Transport finds others over pipes that are made
// for it: its functions are those of a netconn.Config, and of a Setup.
type pipeNet struct {
	ends pipeEnds

	mu        sync.Mutex
	names     int                      // guarded by mu
	listeners map[string]*pipeListener // guarded by mu
}

func (n *pipeNet) dial(ctx context.Context, a transport.Addr) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.Host == silentPipe {
		near, _ := n.ends.pair()
		return netconn.PipeConn(near), nil
	}
	near, err := n.connect(ctx, a)
	if err != nil {
		return nil, err
	}
	return netconn.PipeConn(near), nil
}

// connect makes a pipe and gives its other end to who listens at a.
func (n *pipeNet) connect(ctx context.Context, a transport.Addr) (netconn.Pipe, error) {
	n.mu.Lock()
	l := n.listeners[a.Host]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens at %q", a.Host)
	}
	near, far := n.ends.pair()
	var err error
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		err = fmt.Errorf("nobody listens any more at %q", a.Host)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, near.Close(), far.Close())
}

func (n *pipeNet) listen(context.Context, transport.Addr) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names++
	l := &pipeListener{
		name: pipeAddr(fmt.Sprint("end-", n.names)), net: n,
		conns: make(chan netconn.Pipe), done: make(chan struct{}),
	}
	n.listeners[l.name.String()] = l
	return l, nil
}

// cut is Setup.Cut.
func (n *pipeNet) cut() { _ = n.ends.Close() }

// garbage is Setup.Garbage. The listener may close its end before all is written.
func (n *pipeNet) garbage(ctx context.Context, a transport.Addr, p []byte) error {
	near, err := n.connect(ctx, a)
	if err != nil || len(p) == 0 {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = near.Close() })
	defer stop()
	_, _ = near.Write(p)
	return nil
}

// A pipeListener hands out the ends of pipes as they are made.
type pipeListener struct {
	name    pipeAddr
	net     *pipeNet
	conns   chan netconn.Pipe
	closing sync.Once
	done    chan struct{} // closed by Close
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case p := <-l.conns:
		return netconn.PipeConn(p), nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Addr() net.Addr { return l.name }

func (l *pipeListener) Close() error {
	l.closing.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.listeners, l.name.String())
	})
	return nil
}

// A pipeAddr is the name of a pipeListener.
type pipeAddr string

func (pipeAddr) Network() string  { return pipeScheme }
func (a pipeAddr) String() string { return string(a) }

// A pipeEnds is the ends of all pipes that a case made. As the transport of a
// case about pipes alone it only closes them.
type pipeEnds struct {
	t    testing.TB
	make func(t testing.TB) (a, b netconn.Pipe)

	mu  sync.Mutex
	all []netconn.Pipe // guarded by mu
}

func (e *pipeEnds) pair() (a, b netconn.Pipe) {
	a, b = e.make(e.t)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, a, b)
	return a, b
}

// Dial implements [transport.Transport], and is not called.
func (e *pipeEnds) Dial(context.Context, transport.Addr) (transport.Conn, error) {
	return nil, errors.ErrUnsupported
}

// Listen implements [transport.Transport], and is not called.
func (e *pipeEnds) Listen(context.Context, transport.Addr) (transport.Listener, error) {
	return nil, errors.ErrUnsupported
}

// Close implements [transport.Transport]. What Close of a pipe returns is its
// own business: the exit status of a process, say.
func (e *pipeEnds) Close() error {
	e.mu.Lock()
	all := e.all
	e.all = nil
	e.mu.Unlock()
	var err error
	for _, p := range all {
		if _, panicked := tryClose(p); panicked != nil {
			err = errors.Join(err, panicked)
		}
	}
	return err
}

// tryClose closes p and makes an error of its panic.
func tryClose(p netconn.Pipe) (err, panicked error) {
	defer func() {
		if v := recover(); v != nil {
			panicked = fmt.Errorf("panic: %v", v)
		}
	}()
	return p.Close(), nil
}
