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
	s := newSockets(cfg)
	ln, err := s.listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if dialed, err = s.dial(ctx, transport.Addr{Host: ln.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	if accepted, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}
