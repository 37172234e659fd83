package flood_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/internal/wire"
	quicgo "github.com/quic-go/quic-go"
)

// The attacks on QUIC.
var quicAttacks = []attack{
	{name: "streams opened and reset", over: overQUIC, run: openResetQUIC},
	{name: "unread streams", over: overQUIC, run: unreadQUIC},
	{name: "garbage datagrams", over: overQUIC, run: garbage},
	{name: "half QUIC handshakes", over: overQUIC, run: halfQUIC},
	{name: "dropped connections", over: overQUIC, run: connections},
}

// A quicLink is a connection over quic-go whose streams an attacker has in hand.
type quicLink struct {
	x    *attacker
	pc   net.PacketConn
	tr   *quicgo.Transport
	conn *quicgo.Conn
	lane *quicgo.Stream
	stop func() bool
}

// attackerIP is an address of the loopback that no good client has.
func attackerIP() net.IP {
	if runtime.GOOS == "linux" { // elsewhere the loopback has one address
		return net.IPv4(127, 0, 0, 2)
	}
	return net.IPv4(127, 0, 0, 1)
}

func (x *attacker) dialQUIC(ctx context.Context) (*quicLink, error) {
	cfg, err := (&identity.Holder{Key: x.key}).ClientTLS(x.addr.ID)
	if err != nil {
		return nil, err
	}
	to, err := net.ResolveUDPAddr("udp4", x.addr.Host)
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: attackerIP()})
	if err != nil {
		return nil, err
	}
	l := &quicLink{x: x, pc: pc, tr: &quicgo.Transport{Conn: pc}}
	if l.conn, err = l.tr.Dial(ctx, to, cfg, &quicgo.Config{HandshakeIdleTimeout: time.Second}); err != nil {
		l.close()
		return nil, err
	}
	l.stop = context.AfterFunc(ctx, func() { _ = l.conn.CloseWithError(0, "") }) // the server is told
	if err := l.hello(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *quicLink) hello(ctx context.Context) error {
	var err error
	if l.lane, err = l.conn.OpenStreamSync(ctx); err != nil {
		return err
	}
	if _, err := l.lane.Write(helloFrame()); err != nil {
		return err
	}
	var head [wire.LaneHeader]byte
	if _, err := io.ReadFull(l.lane, head[:]); err != nil {
		return err
	}
	if wire.FrameType(head[0]) != wire.FrameWelcome {
		return errors.New("refused")
	}
	_, err = io.CopyN(io.Discard, l.lane, int64(head[1])<<16|int64(head[2])<<8|int64(head[3]))
	return err
}

func (l *quicLink) sendLane(p []byte, n int) error {
	if _, err := l.lane.Write(p); err != nil {
		return err
	}
	l.x.sent(n, len(p))
	return nil
}

func (l *quicLink) readLane(f func(t wire.FrameType, body []byte)) error {
	lane := laneFrames{f: f}
	buf := make([]byte, 32<<10)
	for {
		n, err := l.lane.Read(buf)
		lane.take(buf[:n])
		if err != nil {
			return err
		}
	}
}

func (l *quicLink) openStream(ctx context.Context, p []byte) error {
	st, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := st.Write(p); err != nil {
		return err
	}
	l.x.sent(1, len(p))
	return nil
}

func (l *quicLink) close() {
	if l.conn != nil {
		l.stop()
		_ = l.conn.CloseWithError(0, "")
	}
	_ = l.tr.Close()
	_ = l.pc.Close()
}

// openResetQUIC opens calls and resets them in the same breath.
func openResetQUIC(ctx context.Context, x *attacker) error {
	l, err := x.dialQUIC(ctx)
	if err != nil {
		return err
	}
	var loops sync.WaitGroup
	loops.Go(func() { _ = l.readLane(nil) })
	defer loops.Wait()
	defer l.close()
	for n := uint64(0); ; n++ {
		st, err := l.conn.OpenStreamSync(ctx)
		if err != nil {
			return err
		}
		p := streamOpen(n, kith.KindUnary, hang.Name())
		if _, err := st.Write(p); err != nil {
			return err
		}
		st.CancelWrite(quicgo.StreamErrorCode(kith.Canceled))
		st.CancelRead(quicgo.StreamErrorCode(kith.Canceled))
		x.sent(3, len(p))
	}
}

// unreadQUIC fills the windows of both directions: it asks for what it does not
// read, and sends what nobody there reads.
func unreadQUIC(ctx context.Context, x *attacker) error {
	l, err := x.dialQUIC(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	const half = 256
	for n := range uint64(half) {
		if err := l.openStream(ctx, streamOpen(n, kith.KindServerStream, pour.Name())); err != nil {
			return err
		}
	}
	// The message is cut into pieces, as a write waits for room in the end.
	open := streamOpen(half, kith.KindUnary, hang.Name())
	st, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	_ = st.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := st.Write(append(open, make([]byte, 4<<20)...))
	x.sent(1, n)
	return err
}

// garbage sends datagrams that mean nothing: noise, packets of connections that
// are not there, first packets that cannot be decrypted, and unknown versions.
func garbage(ctx context.Context, x *attacker) error {
	c, err := x.dialUDP(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	var kinds [4][1200]byte
	for i := range kinds {
		_, _ = rand.Read(kinds[i][:])
	}
	kinds[1][0] = 0x40                                                              // short header
	copy(kinds[2][:], []byte{0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0})    // Initial
	copy(kinds[2][16:], []byte{0x44, 0x90})                                         // its length
	copy(kinds[3][:], []byte{0xc3, 0xfa, 0xce, 0xb0, 0x0c, 8, 1, 2, 3, 4, 5, 6, 7}) // of no version
	for n := 0; ctx.Err() == nil; n++ {
		p := &kinds[n%len(kinds)]
		p[7]++ // another connection each time
		if p[7] == 0 {
			p[8]++
		}
		if _, err := c.Write(p[:]); err == nil {
			x.sent(1, len(p))
		}
	}
	return ctx.Err()
}

// dialUDP makes a socket that ends with ctx.
func (x *attacker) dialUDP(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: attackerIP()}}
	c, err := d.DialContext(ctx, "udp4", x.addr.Host)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// halfQUIC begins handshakes, always the same few, and answers nothing. Each
// time all were sent it goes on from another port.
func halfQUIC(ctx context.Context, x *attacker) error {
	x.prepared.Do(func() { x.initials, x.unready = x.recordQUIC(ctx) })
	if x.unready != nil {
		return x.unready
	}
	c, err := x.dialUDP(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, p := range x.initials {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := c.Write(p); err == nil {
			x.sent(1, len(p))
		}
	}
	return nil
}

// connections makes connections that are admitted, and drops them.
func connections(ctx context.Context, x *attacker) error {
	l, err := x.dialQUIC(ctx)
	if err != nil {
		return err
	}
	x.sent(1, 0)
	l.close()
	return nil
}

// recorded is how many handshakes are recorded.
const recorded = 256

// recordQUIC returns the first packets of handshakes, each of one datagram.
func (x *attacker) recordQUIC(ctx context.Context) ([][]byte, error) {
	cfg, err := (&identity.Holder{Key: x.key}).ClientTLS(x.addr.ID)
	if err != nil {
		return nil, err
	}
	cfg.CurvePreferences = []tls.CurveID{tls.X25519} // the default needs two datagrams
	var all [][]byte
	for range recorded {
		p, err := recordInitial(ctx, cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// recordInitial dials a socket that does not answer, and returns what came.
func recordInitial(ctx context.Context, cfg *tls.Config) ([]byte, error) {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: attackerIP()})
	if err != nil {
		return nil, err
	}
	defer func() { _ = pc.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() {
		if c, err := quicgo.DialAddr(ctx, pc.LocalAddr().String(), cfg, nil); err == nil {
			_ = c.CloseWithError(0, "")
		}
	})
	defer loops.Wait()
	defer cancel()
	_ = pc.SetReadDeadline(time.Now().Add(10 * time.Second))
	p := make([]byte, 2048)
	n, err := pc.Read(p)
	return p[:n], err
}

// recordTLS returns the first words of a handshake over TCP.
func (x *attacker) recordTLS() ([][]byte, error) {
	cfg, err := (&identity.Holder{Key: x.key}).ClientTLS(x.addr.ID)
	if err != nil {
		return nil, err
	}
	a, b := net.Pipe()
	var loops sync.WaitGroup
	loops.Go(func() { _ = tls.Client(a, cfg).Handshake() })
	p := make([]byte, 16<<10)
	n, err := b.Read(p)
	_ = b.Close()
	loops.Wait()
	_ = a.Close()
	return [][]byte{p[:n]}, err
}
