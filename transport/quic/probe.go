package quic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// probeInterval is how often a probe asks.
const probeInterval = 500 * time.Millisecond

// errPortClosed matches syscall.ECONNREFUSED on every system.
var errPortClosed = fmt.Errorf("nobody listens at the port: %w", syscall.ECONNREFUSED)

// A probe learns from the system what a socket without a fixed other end does
// not tell: whether there is a way to an address, from which address of this
// host it goes, and whether the other host answers that the port is closed. It
// sends empty packets, which no QUIC endpoint looks at, from a socket of its
// own.
type probe struct {
	c    *net.UDPConn
	from netip.Addr
	done chan struct{} // closed by askLoop
}

// newProbe begins to ask about an address, until closed. If the port is closed
// it calls refused. It fails if there is no way to the address.
func newProbe(to netip.AddrPort, refused context.CancelCauseFunc) (*probe, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	p := &probe{c: c, done: make(chan struct{})}
	p.from = unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()).Addr()
	go p.askLoop(refused) // ends when c is closed; close waits for it
	return p, nil
}

func (p *probe) askLoop(refused context.CancelCauseFunc) {
	defer close(p.done)
	for {
		_, _, err := p.c.WriteMsgUDP(nil, nil, nil)
		if err == nil {
			_ = p.c.SetReadDeadline(time.Now().Add(probeInterval)) // fails once c is closed, as Read does
			_, err = p.c.Read(make([]byte, 1))
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case isRefusal(err):
			refused(errPortClosed)
			return
		default:
			return // closed, answered, or an error that may pass
		}
	}
}

func (p *probe) close() {
	_ = p.c.Close()
	<-p.done
}

func isRefusal(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && errno == refusal
}
