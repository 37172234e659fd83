package flood_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/internal/wire"
)

// A link is an attacker's end of a connection that was admitted. It keeps the
// rules where an attack needs them kept, and no others.
type link interface {
	// sendLane sends frames of the lane, n of them.
	sendLane(p []byte, n int) error
	// readLane reads until the link ends, and gives every frame of the lane to
	// f, which may be nil.
	readLane(f func(t wire.FrameType, body []byte)) error
	// openStream opens a stream that begins with p. It waits for the server's
	// leave, for which readLane must run.
	openStream(ctx context.Context, p []byte) error
	close()
}

// connect dials, says hello and waits for the welcome.
func (x *attacker) connect(ctx context.Context) (link, error) {
	if x.transport == "quic" {
		return x.dialQUIC(ctx)
	}
	return x.dialMux(ctx)
}

// The bytes of the mux, docs/wire.md section 13.
const (
	preface = "KITHMUX\x01"

	muxData    = 0x10
	muxReset   = 0x20
	muxStop    = 0x30
	muxWindow  = 0x40
	muxStreams = 0x50

	muxOpen = 0x1 // a flag

	muxHeader     = 12
	muxStreamsNow = 16      // how many streams may be opened at first
	muxConnCredit = 1 << 20 // what may be sent at first
	muxCredit     = 256 << 10
)

// appendMux appends a frame of the mux.
func appendMux(dst []byte, kind byte, id uint64, payload ...byte) []byte {
	dst = appendMuxHeader(dst, kind, id, len(payload))
	return append(dst, payload...)
}

func appendMuxHeader(dst []byte, kind byte, id uint64, size int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(kind)<<24|uint32(size)&0xffffff)
	return binary.BigEndian.AppendUint64(dst, id)
}

func appendMuxLimit(dst []byte, kind byte, id, limit uint64) []byte {
	return appendMux(dst, kind, id, binary.BigEndian.AppendUint64(nil, limit)...)
}

func appendMuxCode(dst []byte, kind byte, id uint64, code kith.Code) []byte {
	return appendMux(dst, kind, id, binary.BigEndian.AppendUint32(nil, uint32(code))...)
}

// helloFrame is the first frame of the lane.
func helloFrame() []byte {
	h := wire.Hello{Version: wire.Version, LaneCalls: wire.MaxLaneCalls, MaxMessage: 1 << 30}
	return wire.EndLane(h.Append(wire.AppendLane(nil, wire.FrameHello)), 0)
}

// A muxLink speaks raw frames of the mux.
type muxLink struct {
	x    *attacker
	conn net.Conn
	in   *bufio.Reader
	stop func() bool

	wmu sync.Mutex // held for a write of whole frames
	buf []byte     // guarded by wmu

	mu      sync.Mutex
	changed sync.Cond // a limit was raised, or the link has ended
	ended   bool
	streams uint64 // how many may be opened
	credit  uint64 // of the connection
	opened  uint64
	granted map[uint64]uint64 // credit of streams
}

// dialRaw makes a connection.
func (x *attacker) dialRaw(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: attackerIP()}}
	return d.DialContext(ctx, "tcp", x.addr.Host)
}

// dialTLS does the handshake too, where there is one.
func (x *attacker) dialTLS(ctx context.Context) (net.Conn, error) {
	raw, err := x.dialRaw(ctx)
	if err != nil || x.transport == "plain" {
		return raw, err
	}
	cfg, err := (&identity.Holder{Key: x.key}).ClientTLS(x.addr.ID)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

func (x *attacker) dialMux(ctx context.Context) (*muxLink, error) {
	conn, err := x.dialTLS(ctx)
	if err != nil {
		return nil, err
	}
	l := &muxLink{
		x: x, conn: conn, in: bufio.NewReaderSize(conn, 32<<10),
		streams: muxStreamsNow, credit: muxConnCredit, granted: make(map[uint64]uint64),
	}
	l.changed.L = &l.mu
	l.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := l.hello(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *muxLink) hello() error {
	h := helloFrame()
	if _, err := l.conn.Write(append(appendMuxHeader([]byte(preface), muxData, 0, len(h)), h...)); err != nil {
		return err
	}
	var got [len(preface)]byte
	if _, err := io.ReadFull(l.in, got[:]); err != nil {
		return err
	}
	for {
		kind, id, p, err := l.readFrame(nil)
		if err != nil {
			return err
		}
		l.onFrame(kind, id, p)
		if kind == muxData && id == 0 {
			if t, _, n, _, err := wire.NextLane(p); err != nil || n == 0 || t != wire.FrameWelcome {
				return errors.New("refused")
			}
			return nil
		}
	}
}

func (l *muxLink) close() {
	l.stop()
	_ = l.conn.Close()
	l.mu.Lock()
	l.ended = true
	l.changed.Broadcast()
	l.mu.Unlock()
}

// write writes n frames.
func (l *muxLink) write(p []byte, n int) error {
	if _, err := l.conn.Write(p); err != nil {
		return err
	}
	l.x.sent(n, len(p))
	return nil
}

func (l *muxLink) sendLane(p []byte, n int) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.buf = append(appendMuxHeader(l.buf[:0], muxData, 0, len(p)), p...)
	return l.write(l.buf, n)
}

// readFrame reads one frame of the mux, into buf if that is large enough.
func (l *muxLink) readFrame(buf []byte) (kind byte, id uint64, payload []byte, err error) {
	var h [muxHeader]byte
	if _, err := io.ReadFull(l.in, h[:]); err != nil {
		return 0, 0, nil, err
	}
	word := binary.BigEndian.Uint32(h[:])
	n := int(word & 0xffffff)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err = io.ReadFull(l.in, buf[:n])
	return byte(word >> 24), binary.BigEndian.Uint64(h[4:]), buf[:n], err
}

// onFrame notes what the server grants.
func (l *muxLink) onFrame(kind byte, id uint64, p []byte) {
	if kind != muxStreams && kind != muxWindow {
		return
	}
	limit := binary.BigEndian.Uint64(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case kind == muxStreams:
		l.streams = max(l.streams, limit)
	case id == 0:
		l.credit = max(l.credit, limit)
	default:
		l.granted[id] = max(l.granted[id], limit)
	}
	l.changed.Broadcast()
}

// readLane ends the link when it returns, so that nobody waits for a grant.
func (l *muxLink) readLane(f func(t wire.FrameType, body []byte)) error {
	defer l.close()
	lane := laneFrames{f: f}
	buf := make([]byte, 64<<10)
	for {
		kind, id, p, err := l.readFrame(buf)
		if err != nil {
			return err
		}
		l.onFrame(kind, id, p)
		if kind == muxData && id == 0 {
			lane.take(p)
		}
	}
}

// laneFrames puts frames of the lane together.
type laneFrames struct {
	f    func(t wire.FrameType, body []byte)
	part []byte
}

func (r *laneFrames) take(p []byte) {
	if r.f == nil {
		return
	}
	r.part = append(r.part, p...)
	rest := r.part
	for {
		t, body, n, _, err := wire.NextLane(rest)
		if err != nil || n == 0 {
			break
		}
		r.f(t, body)
		rest = rest[n:]
	}
	r.part = append(r.part[:0], rest...)
}

// reserve waits until streams may be opened, takes up to n of them, and returns
// the number of the first and how many there are.
func (l *muxLink) reserve(n uint64) (first, count uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.opened >= l.streams && !l.ended {
		l.changed.Wait()
	}
	if l.ended {
		return 0, 0
	}
	first, count = l.opened, min(n, l.streams-l.opened)
	l.opened += count
	return first, count
}

// streamID is the id of the attacker's n-th stream.
func streamID(n uint64) uint64 { return 2*n + 1 }

func (l *muxLink) openStream(_ context.Context, p []byte) error {
	n, count := l.reserve(1)
	if count == 0 {
		return net.ErrClosed
	}
	l.wmu.Lock()
	defer l.wmu.Unlock()
	return l.write(appendMux(nil, muxData|muxOpen, streamID(n), p...), 1)
}
