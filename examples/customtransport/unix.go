package main

import (
	"context"
	"net"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// unixSockets is a transport for addresses such as unix://ID@/run/app.sock,
// secured by kith's TLS.
func unixSockets(key *kith.Key) *netconn.Transport {
	return netconn.New(netconn.Config{
		Scheme: "unix",
		Key:    key,
		Dial: func(ctx context.Context, a transport.Addr) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", a.Path)
		},
		Listen: func(ctx context.Context, a transport.Addr) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "unix", a.Path)
		},
	})
}
