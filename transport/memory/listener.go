package memory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// maxBacklog bounds the connections of a listener that nobody has accepted.
// Dial waits while there are as many.
const maxBacklog = 128

var (
	errInUse  = errors.New("name in use")
	errNoName = errors.New("no free port")
)

// Listen implements [transport.Transport]. The Host of a is any name that no
// other listener on the network has. What it leaves out is filled in: "" and
// ":0" get the host's own name and a free port, ":4433" the host's own name,
// "name:0" a free port. It does not block, and fails if ctx has ended.
func (t *Transport) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	l, err := t.listen(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", a, err)
	}
	return l, nil
}

func (t *Transport) listen(ctx context.Context, a transport.Addr) (*listener, error) {
	if err := check(ctx, a); err != nil {
		return nil, err
	}
	l := &listener{owner: t, done: make(chan struct{})}
	l.backlog.init(maxBacklog)
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := t.usable(); err != nil {
		return nil, err
	}
	name := t.complete(a.Host)
	if host, port, err := net.SplitHostPort(name); err == nil && port == "0" {
		name = n.freeName(host)
	} else if a.Host == "" {
		name = n.freeName(name)
	}
	if name == "" {
		return nil, errNoName
	}
	if n.listeners[name] != nil {
		return nil, errInUse
	}
	l.addr = transport.Addr{Scheme: Scheme, ID: t.id, Host: name}
	n.listeners[name] = l
	t.listeners[l] = struct{}{}
	return l, nil
}

// A listener accepts connections at one name. It runs no goroutine.
type listener struct {
	owner   *Transport
	backlog queue[*conn]
	done    chan struct{} // closed by close
	once    sync.Once
	addr    transport.Addr // guarded by owner.net.mu: Move changes it
}

func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	c, ok := l.backlog.get(ctx, l.done)
	if ok {
		return c, nil
	}
	select {
	case <-l.done:
		return nil, fmt.Errorf("accept: %w", transport.ErrClosed)
	default:
		return nil, fmt.Errorf("accept: %w", ctx.Err())
	}
}

func (l *listener) Addr() transport.Addr {
	l.owner.net.mu.Lock()
	defer l.owner.net.mu.Unlock()
	return l.addr
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.owner.net.unlisten(l)
		close(l.done)
		for _, c := range l.backlog.close() {
			_ = c.CloseWithError(kith.Unavailable, "listener closed")
		}
	})
	return nil
}
