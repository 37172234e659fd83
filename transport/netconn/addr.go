package netconn

import (
	"net"
	"strings"

	"github.com/kith-go/kith/transport"
)

// addr returns the transport's form of an address, without an ID.
func (t *Transport) addr(a net.Addr) transport.Addr {
	var out transport.Addr
	if a != nil {
		out = t.cfg.Addr(a)
	}
	out.Scheme = t.cfg.Scheme
	return out
}

// defaultAddr is the default of Config.Addr.
func defaultAddr(a net.Addr) transport.Addr {
	text := a.String()
	if _, ok := a.(*net.UnixAddr); ok && strings.HasPrefix(text, "/") {
		return transport.Addr{Path: text}
	}
	if strings.Contains(text, "@") {
		return transport.Addr{} // an unnamed end of a unix socket, or an abstract one
	}
	return transport.Addr{Host: text}
}
