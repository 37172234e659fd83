package quic

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
)

// minBuffer is the least socket buffer that is asked for.
const minBuffer = 64 << 10

var errNotSized = errors.New("buffers are not sized yet")

// adapt makes a packet conn such as quic-go should see it. Each source may send rate packets
// of handshakes a second.
func adapt(pc net.PacketConn, rate int, log *slog.Logger) net.PacketConn {
	if c, ok := pc.(*net.UDPConn); ok {
		return &udpSocket{UDPConn: c, log: log, sieve: newSieve(rate), batch: ipv4.NewPacketConn(c)}
	}
	if _, ok := pc.(interface{ SetReadBuffer(int) error }); ok {
		return pc
	}
	return unsized{pc}
}

// An unsized is a packet conn without buffers to size, about which quic-go
// would print a complaint.
type unsized struct{ net.PacketConn }

func (unsized) SetReadBuffer(int) error  { return nil }
func (unsized) SetWriteBuffer(int) error { return nil }

// A udpSocket is a UDP socket on which a packet that cannot be sent now counts
// as lost. quic-go ends all connections of a socket whose write fails, be it
// for a cable pulled for a second or a firewall rule that drops a packet. What it
// receives goes through a sieve.
type udpSocket struct {
	*net.UDPConn
	log   *slog.Logger
	sized atomic.Bool
	batch *ipv4.PacketConn // reads from UDPConn, of either family
	sieve sieve            // quic-go's one reader's
}

// ReadFrom reads a packet that has passed the sieve, for quic-go where it does not read by
// batches.
func (s *udpSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.UDPConn.ReadFrom(p)
		if err != nil || s.sieve.passes(p[:n], from, time.Now()) {
			return n, from, err
		}
	}
}

func (s *udpSocket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = s.UDPConn.WriteMsgUDP(b, oob, to)
	if errors.Is(err, syscall.EPERM) { // Linux says so of a socket's first packet, now and then
		n, oobn, err = s.UDPConn.WriteMsgUDP(b, oob, to)
	}
	if passing(err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

func (s *udpSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := s.UDPConn.WriteTo(b, to)
	if passing(err) {
		return len(b), nil
	}
	return n, err
}

// passing reports whether err says that there is no way for the packet at the
// moment.
func passing(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(passingErrors, errno)
}

// SyscallConn keeps the descriptor from quic-go until the buffers are sized.
// quic-go, which sizes them first, would otherwise look at the result, and
// print to the standard log if it is less than it asked for.
func (s *udpSocket) SyscallConn() (syscall.RawConn, error) {
	if !s.sized.Load() {
		return nil, errNotSized
	}
	return s.UDPConn.SyscallConn()
}

// SetReadBuffer makes the receive buffer as large as the system lets it be, up
// to n.
func (s *udpSocket) SetReadBuffer(n int) error {
	size(n, s.UDPConn.SetReadBuffer)
	if got, ok := forceBuffer(s.UDPConn, receiveBuffer, n); ok && got < n {
		s.log.Info("small UDP receive buffer; see net.core.rmem_max", "addr", s.LocalAddr(), "bytes", got, "wanted", n)
	}
	return nil
}

// SetWriteBuffer does for the send buffer what SetReadBuffer does for the
// receive buffer.
func (s *udpSocket) SetWriteBuffer(n int) error {
	size(n, s.UDPConn.SetWriteBuffer)
	forceBuffer(s.UDPConn, sendBuffer, n)
	s.sized.Store(true)
	return nil
}

// size asks for a buffer of n bytes, and for less where that is refused.
func size(n int, set func(int) error) {
	for ; n >= minBuffer && set(n) != nil; n /= 2 {
	}
}
