package memory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"syscall"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// ErrRefused is matched by the error of a dial to a name at which nobody
// listens, or over a link that refuses. It matches [syscall.ECONNREFUSED].
var ErrRefused error = refusedError{}

type refusedError struct{}

func (refusedError) Error() string { return "connection refused" }
func (refusedError) Unwrap() error { return syscall.ECONNREFUSED }

var errDown = errors.New("this host is down")

// check refuses addresses of other transports, and a ctx that has ended.
func check(ctx context.Context, a transport.Addr) error {
	if a.Scheme != "" && a.Scheme != Scheme {
		return fmt.Errorf("scheme %q, want %s", a.Scheme, Scheme)
	}
	if a.Path != "" {
		return fmt.Errorf("a name with a path: %q", a.Path)
	}
	return ctx.Err()
}

// usable says why t cannot listen or dial. The caller holds net.mu.
func (t *Transport) usable() error {
	switch {
	case t.closed:
		return transport.ErrClosed
	case t.net.host(t.host).down:
		return errDown
	}
	return nil
}

// complete puts the host's own name before a bare port. The caller holds net.mu.
func (t *Transport) complete(name string) string {
	if name == "" || name[0] == ':' {
		return t.net.host(t.host).addr + name
	}
	return name
}

// Dial implements [transport.Transport]. An ID in a pins who must listen
// there. Without one, Dial takes whoever does: all of the network is this
// process, so there is nobody to be protected from, and no [transport.ErrNoIdentity].
// A bare port, as in ":4433", is one of this host.
//
// Dial fails with [ErrRefused] if nobody listens at the name. It waits while
// nothing passes on the links, and while the listener has 128 connections
// that it has not accepted.
func (t *Transport) Dial(ctx context.Context, a transport.Addr) (transport.Conn, error) {
	c, err := t.dial(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", a, err)
	}
	return c, nil
}

func (t *Transport) dial(ctx context.Context, a transport.Addr) (*conn, error) {
	if err := check(ctx, a); err != nil {
		return nil, err
	}
	d, err := t.reach(ctx, a.Host)
	if err != nil {
		return nil, err
	}
	if got := d.to.owner.id; !a.ID.IsZero() && a.ID != got {
		if err := d.pass(ctx, d.back); err != nil {
			return nil, err
		}
		return nil, &transport.PeerError{Want: a.ID, Got: got}
	}
	return d.connect(ctx)
}

// A dialing is one Dial on its way.
type dialing struct {
	from        *Transport
	to          *listener
	there, back *line
	crash       chan struct{} // closed when the dialler's host goes down
}

// reach gets to whoever listens at name.
func (t *Transport) reach(ctx context.Context, name string) (*dialing, error) {
	for {
		d, err := t.find(name)
		if err != nil {
			return nil, err
		}
		if err := d.pass(ctx, d.there); err != nil {
			return nil, err
		}
		if d.to != nil {
			return d, nil
		}
		// The host was down when the dial began, and has come back.
	}
}

// find returns the way to whoever listens at name. If that has gone silent
// since its host went down, to is nil.
func (t *Transport) find(name string) (*dialing, error) {
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := t.usable(); err != nil {
		return nil, err
	}
	name = t.complete(name)
	l, host := n.listeners[name], n.silent[name]
	if l != nil {
		host = l.owner.host
	} else if host == "" {
		return nil, ErrRefused
	}
	d := &dialing{
		from: t, to: l, crash: n.host(t.host).crash,
		there: n.line(route{t.host, host}),
		back:  n.line(route{host, t.host}),
	}
	if d.there.refuses() {
		return nil, ErrRefused
	}
	return d, nil
}

// pass waits for a message to get over l.
func (d *dialing) pass(ctx context.Context, l *line) error {
	if !l.shaped.Load() {
		return nil
	}
	arrived := make(chan struct{})
	m := l.post(func() { close(arrived) })
	err := d.wait(ctx, arrived)
	if err != nil {
		l.revoke(m)
	}
	return err
}

// wait waits for c to be closed or to give something.
func (d *dialing) wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.from.done:
		return transport.ErrClosed
	case <-d.crash:
		return errDown
	}
}

// connect makes the connection, once the listener's side has been reached.
func (d *dialing) connect(ctx context.Context) (*conn, error) {
	circ, err := d.join()
	if err != nil {
		return nil, err
	}
	c := &circ.ends[0]
	if err = d.offer(ctx, c.peer()); err == nil {
		err = d.pass(ctx, d.back)
	}
	if ended := c.ended.Load(); err == nil && ended != nil {
		err = ended
	}
	if err != nil {
		_ = c.CloseWithError(kith.Canceled, "dial given up")
		return nil, err
	}
	return c, nil
}

// join makes a connection and enters it into the books.
func (d *dialing) join() (*circuit, error) {
	t, l, n := d.from, d.to, d.from.net
	var binding [32]byte
	rand.Read(binding[:])
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := t.usable(); err != nil {
		return nil, err
	}
	if n.listeners[l.addr.Host] != l || l.owner.usable() != nil {
		return nil, ErrRefused // it is being closed
	}
	local := transport.Addr{Scheme: Scheme, ID: t.id, Host: n.host(t.host).addr}
	c := &circuit{net: n}
	c.spare[0].Store(spareBytes)
	c.spare[1].Store(spareBytes)
	c.ends[0].init(c, 0, t, d.there, l.owner)
	c.ends[1].init(c, 1, l.owner, d.back, t)
	c.ends[0].info = transport.Info{
		Transport: Scheme, Local: local, Remote: l.addr,
		Peer: l.owner.id, Dialed: true, Binding: binding,
	}
	c.ends[1].info = transport.Info{
		Transport: Scheme, Local: l.addr, Remote: local,
		Peer: t.id, Binding: binding,
	}
	n.circuits[c] = struct{}{}
	t.conns[&c.ends[0]] = struct{}{}
	l.owner.conns[&c.ends[1]] = struct{}{}
	return c, nil
}

// offer puts c where Accept finds it, or ends it.
func (d *dialing) offer(ctx context.Context, c *conn) error {
	for {
		ok, closed := d.to.backlog.put(c)
		if ok {
			return nil
		}
		err := ErrRefused
		if !closed {
			err = d.wait(ctx, d.to.backlog.space)
		}
		if err != nil {
			c.fail(lost(errReset))
			return err
		}
	}
}
