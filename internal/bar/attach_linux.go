package bar

import (
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Filter returns what sets the filter of a socket.
func Filter(socket syscall.Conn) SetFilter {
	return func(program []bpf.RawInstruction) error {
		raw, err := socket.SyscallConn()
		if err != nil {
			return err
		}
		var refused error
		err = raw.Control(func(fd uintptr) { refused = attach(int(fd), program) })
		if err != nil {
			return err
		}
		return refused
	}
}

func attach(fd int, program []bpf.RawInstruction) error {
	if len(program) == 0 {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	steps := make([]unix.SockFilter, len(program))
	for i, p := range program {
		steps[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(steps)), Filter: &steps[0]})
}
