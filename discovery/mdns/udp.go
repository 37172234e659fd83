package mdns

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A udpConn is a packetConn of the system.
type udpConn struct {
	*net.UDPConn
	v6  bool
	oob []byte // for read
}

const (
	receiveBuffer = 1 << 20
	writeTimeout  = 50 * time.Millisecond // a stuck interface must not hold up the others
	allHops       = 255                   // which shows that nobody passed it on
)

// listen opens the socket of a link.
func listen(iface *net.Interface, l linkInfo) (packetConn, error) {
	udp, err := bind(l)
	if err != nil {
		return nil, err
	}
	_ = udp.SetReadBuffer(receiveBuffer) // the system gives what it allows
	c := &udpConn{UDPConn: udp, v6: l.v6, oob: make([]byte, 256)}
	if l.v6 {
		err = c.setUp6(iface)
	} else {
		err = c.setUp4(iface, l)
	}
	if err != nil {
		_ = udp.Close()
		return nil, err
	}
	return c, nil
}

func (c *udpConn) setUp4(iface *net.Interface, l linkInfo) error {
	p := ipv4.NewPacketConn(c.UDPConn)
	if err := p.JoinGroup(iface, net.UDPAddrFromAddrPort(group4)); err != nil {
		return fmt.Errorf("join %s: %w", group4.Addr(), err)
	}
	if err := p.SetMulticastInterface(iface); err != nil {
		return fmt.Errorf("set interface: %w", err)
	}
	if err := sendAs(c.UDPConn, l); err != nil {
		return fmt.Errorf("set source address: %w", err)
	}
	if err := p.SetMulticastTTL(allHops); err != nil {
		return fmt.Errorf("set ttl: %w", err)
	}
	_ = p.SetTTL(allHops)                                          // others may look at it, kith does not
	_ = p.SetMulticastLoopback(true)                               // on already where it is missing
	_ = p.SetControlMessage(ipv4.FlagTTL|ipv4.FlagInterface, true) // without it, they are unknown
	return nil
}

func (c *udpConn) setUp6(iface *net.Interface) error {
	p := ipv6.NewPacketConn(c.UDPConn)
	if err := p.JoinGroup(iface, net.UDPAddrFromAddrPort(group6)); err != nil {
		return fmt.Errorf("join %s: %w", group6.Addr(), err)
	}
	if err := p.SetMulticastInterface(iface); err != nil {
		return fmt.Errorf("set interface: %w", err)
	}
	if err := p.SetMulticastHopLimit(allHops); err != nil {
		return fmt.Errorf("set hop limit: %w", err)
	}
	_ = p.SetHopLimit(allHops)
	_ = p.SetMulticastLoopback(true)
	_ = p.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true)
	return nil
}

func (c *udpConn) read(b []byte) (int, inbound, error) {
	n, oobn, _, from, err := c.ReadMsgUDPAddrPort(b, c.oob)
	if isTooLong(err) {
		n, err = len(b), nil // as on other systems
	}
	if err != nil {
		return 0, inbound{}, err
	}
	in := inbound{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), ttl: unknownTTL}
	if oobn > 0 {
		c.readControl(c.oob[:oobn], &in)
	}
	return n, in, nil
}

// readControl fills in what the system says of a packet. What it does not say stays unknown.
func (c *udpConn) readControl(oob []byte, in *inbound) {
	if c.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) == nil {
			in.index, in.ttl = cm.IfIndex, hops(cm.HopLimit)
		}
		return
	}
	var cm ipv4.ControlMessage
	if cm.Parse(oob) == nil {
		in.index, in.ttl = cm.IfIndex, hops(cm.TTL)
	}
}

// hops is a TTL or hop limit. No packet comes with zero: it was not said.
func hops(n int) int {
	if n == 0 {
		return unknownTTL
	}
	return n
}

func (c *udpConn) write(b []byte, to netip.AddrPort) error {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.WriteToUDPAddrPort(b, to)
	return err
}
