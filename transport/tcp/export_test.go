package tcp

import (
	"context"
	"net"
	"testing"

	"github.com/kith-go/kith/transport"
)

// SocketPair connects two sockets as a transport with cfg does.
func SocketPair(t *testing.T, ctx context.Context, cfg Config) (dialed, accepted net.Conn) {
	t.Helper()
	ln := ListenSocket(t, ctx, cfg)
	defer ln.Close()
	var err error
	if dialed, err = newSockets(cfg).dial(ctx, transport.Addr{Host: ln.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	if accepted, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// ListenSocket listens as a transport with cfg does.
func ListenSocket(t *testing.T, ctx context.Context, cfg Config) net.Listener {
	t.Helper()
	ln, err := newSockets(cfg).listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
