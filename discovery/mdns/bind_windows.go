package mdns

import (
	"context"
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/windows"
)

// bind makes a socket on the wildcard address, since Windows binds no socket to a group. What comes by unicast
// is told apart by its sender only.
func bind(l linkInfo) (*net.UDPConn, error) {
	network, addr := "udp4", "0.0.0.0:5353"
	if l.v6 {
		network, addr = "udp6", "[::]:5353"
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctlErr := c.Control(func(fd uintptr) {
			err = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
		})
		return errors.Join(ctlErr, err)
	}}
	pc, err := lc.ListenPacket(context.Background(), network, addr)
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

func isAddrInUse(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }

// isTooLong says that a packet did not fit.
func isTooLong(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
