package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// openTransport makes the default one.
func (n *Node) openTransport() {
	tr := n.cfg.Transport
	if tr == nil {
		tr = transport.Router{
			"quic": quic.New(quic.Config{Key: n.key}),
			"tcp":  tcp.New(tcp.Config{Key: n.key}),
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.transport = tr // closed by Close, which Join calls when it fails
}

// listen begins to serve at the addresses where that is possible, and fails if
// there is none.
func (n *Node) listen(ctx context.Context) error {
	var errs []error
	listening := 0
	for _, text := range n.cfg.Listen {
		if err := n.listenAt(ctx, text); err != nil {
			errs = append(errs, fmt.Errorf("listen at %s: %w", text, err))
			continue
		}
		listening++
	}
	if listening == 0 {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		n.cfg.Logger.Warn("cannot listen", slog.String("err", err.Error()))
	}
	return nil
}

func (n *Node) listenAt(ctx context.Context, text string) error {
	a, err := transport.ParseAddr(text)
	if err != nil {
		return err
	}
	l, err := n.transport.Listen(ctx, a)
	if err != nil {
		return err
	}
	if id := l.Addr().ID; id != n.id {
		_ = l.Close()
		return fmt.Errorf("the transport's identity is %s, the node's %s: give both the same key", id, n.id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.enterLocked() {
		_ = l.Close()
		return ErrClosed
	}
	n.listeners = append(n.listeners, listening{l, atAll(a.Host)})
	go n.serveLoop(l)
	return nil
}

// serveLoop ends with the server, or when the transport is closed.
func (n *Node) serveLoop(l transport.Listener) {
	defer n.loops.Done()
	if err := n.srv.Serve(context.Background(), l); !errors.Is(err, server.ErrClosed) {
		n.cfg.Logger.Warn("listening ended", slog.String("err", err.Error()))
	}
}
