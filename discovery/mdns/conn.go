package mdns

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// A packetConn is a socket of one link. Close ends a read that waits.
type packetConn interface {
	read(b []byte) (n int, in inbound, err error)
	write(b []byte, to netip.AddrPort) error
	Close() error
}

// A conn is a link's socket and the goroutine that reads it.
type conn struct {
	packetConn
	info  linkInfo
	iface *net.Interface
	group netip.AddrPort
	log   *slog.Logger

	failed   atomic.Bool   // should be opened anew
	noQuery  atomic.Bool   // the query of hashicorp/mdns does not work here
	stopping chan struct{} // closed by close
	stopped  atomic.Bool   // close was called
	ended    chan struct{} // closed by readLoop
}

// hear is what takes in packets, one at a time for each conn. It does not keep p.
type hear func(m *message, p []byte, in inbound)

// startConn owns pc from then on.
func startConn(pc packetConn, f found, log *slog.Logger, h hear) *conn {
	c := &conn{
		packetConn: pc,
		info:       f.linkInfo,
		iface:      f.iface,
		group:      group4,
		log:        log,
		stopping:   make(chan struct{}),
		ended:      make(chan struct{}),
	}
	c.noQuery.Store(c.info.addr.IsLoopback()) // it would ask with no source address
	if c.info.v6 {
		c.group = netip.AddrPortFrom(group6.Addr().WithZone(c.info.name), mdnsPort)
	}
	go c.readLoop(h) // ends with close; wait waits for it
	return c
}

// is says whether nothing has changed that concerns the socket or the engine.
func (c *conn) is(l linkInfo) bool {
	l.opened = c.info.opened
	return c.info.same(l)
}

// close ends the conn, wait waits for its goroutine.
func (c *conn) close() {
	if c.stopped.CompareAndSwap(false, true) {
		close(c.stopping)
		_ = c.Close() // nothing is lost with a socket for reading
	}
}

func (c *conn) wait() { <-c.ended }

// write sends to the group, or to one address. UDP loses packets, so an error is not passed on: the
// socket is opened anew, and with it all is said again.
func (c *conn) write(p []byte, to netip.AddrPort) {
	multicast := !to.IsValid()
	if multicast {
		to = c.group
	}
	if err := c.packetConn.write(p, to); err != nil && !c.stopped.Load() {
		c.log.Debug("mdns: send", "interface", c.info.name, "to", to.String(), "error", err)
		if multicast { // the other end of a unicast may be who is to blame
			c.failed.Store(true)
		}
	}
}

// How a socket that cannot be read is treated.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
	maxErrors  = 10 // in a row, before it is to be opened anew
)

// readLoop reads until close.
func (c *conn) readLoop(h hear) {
	defer close(c.ended)
	buf := make([]byte, maxPacket+1) // one more shows that a packet was too long
	var m message
	pause := firstPause
	for errs := 0; ; {
		n, in, err := c.read(buf)
		if err == nil {
			errs, pause = 0, firstPause
			h(&m, buf[:n], in)
			continue
		}
		if c.stopped.Load() || errors.Is(err, net.ErrClosed) {
			return
		}
		c.log.Debug("mdns: read", "interface", c.info.name, "error", err)
		if errs++; errs == maxErrors {
			c.failed.Store(true)
		}
		if !c.pause(pause) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// pause waits, and says whether to go on.
func (c *conn) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.stopping:
		return false
	}
}
