package mdns

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// share lets others use the port, and keeps the packets of interfaces away that others joined the group on.
func share(fd int, v6 bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) // needs a privilege
	if v6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0) // since Linux 4.20; the interface is checked anyway
		return nil
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
}

// sendAs has multicast leave with the link's address as its source. The kernel would choose none on loopback, and
// any on an interface with several.
func sendAs(udp *net.UDPConn, l linkInfo) error {
	raw, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
			&unix.IPMreqn{Ifindex: int32(l.index), Address: l.addr.As4()})
	})
	return errors.Join(ctlErr, err)
}
