package quic

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/kith-go/kith/internal/bar"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// A socket is a UDP socket with quic-go on it. It closes when nobody holds a
// reference: a listener does, each connection, and each attempt to dial; for
// a socket that is only for dialling, the transport does.
type socket struct {
	t         *Transport
	pc        net.PacketConn
	quic      *quicgo.Transport
	local     netip.AddrPort           // as bound; invalid if it is not a UDP address
	listener  atomic.Pointer[listener] // whom newcomers are for; nil: refuse them
	newcomers sync.WaitGroup           // until accepted, or until failedHandler is done

	refs   int  // guarded by t.mu
	broken bool // guarded by t.mu; reading failed: not to be dialled from
}

var errRefused = errors.New("not accepting connections")

// openSocket makes a socket with one reference. Its connections' IDs bear the tag, if it is
// not nil.
func (t *Transport) openSocket(ctx context.Context, network, address string, tag *idTag) (*socket, error) {
	pc, err := t.listenPacket(ctx, network, address, tag)
	if err != nil {
		return nil, err
	}
	s := &socket{t: t, pc: pc, refs: 1}
	if a, ok := pc.LocalAddr().(*net.UDPAddr); ok {
		s.local = unmap(a.AddrPort())
	}
	// There is no StatelessResetKey: a reset can overtake the close of a
	// connection, and its code and reason would be lost. quic-go forgets a
	// closed connection after three timeouts, a few milliseconds on a LAN,
	// and acts on resets before packets that came earlier.
	s.quic = &quicgo.Transport{
		Conn:                pc,
		ConnectionIDLength:  connIDLength,
		VerifySourceAddress: s.mustVerify,
		ConnContext:         s.admit,
	}
	if tag != nil {
		s.quic.ConnectionIDGenerator = tag
	}
	return s, nil
}

func (t *Transport) listenPacket(ctx context.Context, network, address string, tag *idTag) (net.PacketConn, error) {
	rate := handshakeRate
	if t.cfg.MaxHandshakesPerSource < 0 {
		rate = -1
	}
	if t.cfg.ListenPacket != nil {
		pc, err := t.cfg.ListenPacket(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return adapt(pc, rate, t.log), nil
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	pc = adapt(pc, rate, t.log)
	if u, ok := pc.(*udpSocket); ok { // one of the user's own may have a filter of his
		u.sieve.bar, u.sieve.tag = bar.QUIC(bar.Filter(u.UDPConn), tag.bytes()), tag
	}
	return pc, nil
}

// retainLocked adds a reference, unless there is none left.
func (s *socket) retainLocked() bool {
	if s.refs == 0 {
		return false
	}
	s.refs++
	return true
}

// release gives up a reference. With the last one the socket closes, before
// release returns.
func (s *socket) release() {
	s.t.mu.Lock()
	s.refs--
	last := s.refs == 0
	s.t.mu.Unlock()
	if last {
		_ = s.quic.Close() // it waits for the goroutine that reads
		if u, ok := s.pc.(*udpSocket); ok {
			u.sieve.bar.Stop()
		}
		_ = s.pc.Close()
		s.newcomers.Wait()
	}
}

// reaches reports whether packets from this socket can get to an address.
func (s *socket) reaches(to netip.Addr) bool {
	from := s.local.Addr()
	switch {
	case !from.IsValid():
		return true // a socket of the user's own: he must know
	case from == netip.IPv6Unspecified():
		return true // Go's wildcard sockets take both families where the system lets them
	case from.Is4() != to.Is4():
		return false
	case from.IsUnspecified():
		return true
	}
	return from.IsLoopback() == to.IsLoopback()
}

// unmap makes IPv4 addresses look alike on all kinds of sockets.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// mustVerify is quic-go's question whether a newcomer must first prove that he
// can receive at his address, at the cost of a round trip.
func (s *socket) mustVerify(from net.Addr) bool {
	l := s.listener.Load()
	return l != nil && l.gate.crowded(sourceOf(from))
}

// refuseNewcomers answers for a socket whose listener is closed: quic-go
// without a listener would leave them without a word.
func (s *socket) refuseNewcomers(l *listener) {
	if _, err := s.quic.Listen(l.tls, s.t.quic); err != nil && !errors.Is(err, quicgo.ErrTransportClosed) {
		s.t.log.Warn("newcomers get no answer", "addr", l.addr, "err", err)
	}
}

// localAddr returns the socket's address for Info and Listener.Addr.
func (s *socket) localAddr(a net.Addr) transport.Addr {
	return transport.Addr{Scheme: Scheme, Host: hostOf(a)}
}
