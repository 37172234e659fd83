//go:build unix

package mdns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// bind makes a socket that is bound to the group itself: package net would bind it to the wildcard address, where
// it would take the unicast answers that are meant for other programs, and packets of other groups.
func bind(l linkInfo) (*net.UDPConn, error) {
	family := unix.AF_INET
	var addr unix.Sockaddr = &unix.SockaddrInet4{Port: mdnsPort, Addr: group4.Addr().As4()}
	if l.v6 {
		family = unix.AF_INET6
		addr = &unix.SockaddrInet6{Port: mdnsPort, Addr: group6.Addr().As16(), ZoneId: uint32(l.index)}
	}
	syscall.ForkLock.RLock() // so that no child gets it
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, unix.IPPROTO_UDP)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "mdns") // for package net, which takes a copy
	defer func() { _ = f.Close() }()
	if l.v6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := share(fd, l.v6); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, addr); err != nil {
		return nil, fmt.Errorf("port %d: %w", mdnsPort, os.NewSyscallError("bind", err))
	}
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		_ = pc.Close()
		return nil, errors.New("not a UDP socket")
	}
	return udp, nil
}

func isAddrInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// isTooLong is for systems where a packet that does not fit is an error.
func isTooLong(error) bool { return false }
