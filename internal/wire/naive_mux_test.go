package wire_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// A naiveMux is the dialler's side of the mux, written from section 13 of
// docs/wire.md alone and as simply as can be: it has no goroutine. Whoever
// waits for something reads frames until it is there. What is received counts
// as read at once. It is strict: a frame against the document fails the test.
type naiveMux struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader

	lane    []byte // received, not taken yet
	streams map[uint64]*naiveStream
	came    []*naiveStream // those that the acceptor opened, not taken yet
	opened  uint64         // how many this side opened, of at most mayOpen
	mayOpen uint64
	theirs  uint64 // how many the acceptor opened, of at most theyMay
	theyMay uint64

	out, back naiveCredit // of the connection, in either direction
	end       *naiveClose
}

// A naiveCredit is credit in one direction.
type naiveCredit struct{ used, limit, window uint64 }

// A naiveClose is a CLOSE that was received.
type naiveClose struct {
	code   uint32
	reason string
}

// A naiveStream is one stream.
type naiveStream struct {
	m         *naiveMux
	id        uint64
	in        []byte // received, not taken yet
	ended     bool   // the acceptor's direction, by END or RESET
	reset     *uint32
	sentOpen  bool // or need not
	sentEnd   bool
	out, back naiveCredit
}

const (
	naiveDATA, naiveRESET, naiveSTOP, naiveWINDOW, naiveSTREAMS, naiveCLOSE = 0x10, 0x20, 0x30, 0x40, 0x50, 0x60

	naiveOPEN, naiveEND, naiveWAITED, naiveWAITEDCONN = 1, 2, 4, 8

	naiveStreamWindow, naiveConnWindow = 256 << 10, 1 << 20
	naiveFrameCost                     = 64
)

// naiveDial connects to a listener in plaintext. preface is "KITHMUX\x01".
func naiveDial(t *testing.T, addr, preface string) *naiveMux {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // so that nothing hangs
		t.Fatal(err)
	}
	m := &naiveMux{
		t: t, conn: conn, in: bufio.NewReader(conn),
		streams: make(map[uint64]*naiveStream), mayOpen: 16, theyMay: 16,
		out:  naiveCredit{limit: naiveConnWindow},
		back: naiveCredit{limit: naiveConnWindow, window: naiveConnWindow},
	}
	m.send([]byte(preface))
	return m
}

// readPreface takes the acceptor's first bytes.
func (m *naiveMux) readPreface() {
	m.t.Helper()
	var b [8]byte
	if m.read(b[:]); string(b[:]) != "KITHMUX\x01" {
		m.t.Fatalf("preface = %q, want %q", b, "KITHMUX\x01")
	}
}

func (m *naiveMux) read(p []byte) {
	m.t.Helper()
	if _, err := io.ReadFull(m.in, p); err != nil {
		m.t.Fatalf("Read(%d bytes) = %v", len(p), err)
	}
}

func (m *naiveMux) send(p []byte) {
	m.t.Helper()
	if _, err := m.conn.Write(p); err != nil {
		m.t.Fatalf("Write(% x) = %v", p[:min(len(p), 16)], err)
	}
}

func (m *naiveMux) frame(kind byte, id uint64, payload []byte) {
	m.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(kind)<<24|uint32(len(payload)))
	b = binary.BigEndian.AppendUint64(b, id)
	m.send(append(b, payload...))
}

func (m *naiveMux) frame32(kind byte, id uint64, v uint32) {
	m.t.Helper()
	m.frame(kind, id, binary.BigEndian.AppendUint32(nil, v))
}

func (m *naiveMux) frame64(kind byte, id, v uint64) {
	m.t.Helper()
	m.frame(kind, id, binary.BigEndian.AppendUint64(nil, v))
}

// close ends the connection.
func (m *naiveMux) close(code uint32) {
	m.t.Helper()
	m.frame32(naiveCLOSE, 0, code)
	_ = m.conn.Close()
}

// step reads one frame and does what it says.
func (m *naiveMux) step() {
	m.t.Helper()
	if m.end != nil {
		m.t.Fatalf("more is awaited, but the connection was closed with %d, %q", m.end.code, m.end.reason)
	}
	var h [12]byte
	m.read(h[:])
	kind, flags, id := h[0]&0xf0, h[0]&0x0f, binary.BigEndian.Uint64(h[4:])
	n := int(h[1])<<16 | int(h[2])<<8 | int(h[3])
	if n > 1<<20 || kind == naiveDATA && id != 0 && n > 64<<10 {
		m.t.Fatalf("frame % x of %d bytes", h, n)
	}
	p := make([]byte, n)
	m.read(p)
	switch {
	case kind == naiveDATA && id == 0 && flags == 0:
		m.lane = append(m.lane, p...)
	case kind == naiveDATA && id != 0:
		m.data(m.target(id, flags), flags, p)
	case kind == naiveRESET && id != 0 && flags&^naiveOPEN == 0 && n == 4:
		s, code := m.target(id, flags), binary.BigEndian.Uint32(p)
		s.ended, s.reset, s.in = true, &code, nil
		m.over(s)
	case kind == naiveSTOP && id != 0 && flags == 0 && n == 4:
		m.target(id, flags).abort(binary.BigEndian.Uint32(p))
	case kind == naiveWINDOW && flags == 0 && n == 8 && id == 0:
		m.out.limit = max(m.out.limit, binary.BigEndian.Uint64(p))
	case kind == naiveWINDOW && flags == 0 && n == 8:
		s := m.target(id, flags)
		s.out.limit = max(s.out.limit, binary.BigEndian.Uint64(p))
	case kind == naiveSTREAMS && flags == 0 && n == 8 && id == 0:
		m.mayOpen = max(m.mayOpen, binary.BigEndian.Uint64(p))
	case kind == naiveCLOSE && flags == 0 && n >= 4 && n <= 260 && id == 0:
		m.end = &naiveClose{binary.BigEndian.Uint32(p), string(p[4:])}
		if _, err := m.in.ReadByte(); err != io.EOF {
			m.t.Fatalf("Read() behind CLOSE = %v, want %v", err, io.EOF)
		}
	default:
		m.t.Fatalf("frame % x % x", h, p[:min(n, 16)])
	}
}

// target finds the stream of a frame, which the flag OPEN opens.
func (m *naiveMux) target(id uint64, flags byte) *naiveStream {
	m.t.Helper()
	if flags&naiveOPEN == 0 {
		s := m.streams[id]
		if s == nil {
			m.t.Fatalf("a frame for stream %d, which was never opened", id)
		}
		return s
	}
	if m.theirs++; id != 2*m.theirs || m.theirs > m.theyMay {
		m.t.Fatalf("stream %d opened as the acceptor's %d. of at most %d", id, m.theirs, m.theyMay)
	}
	s := m.newStream(id)
	s.sentOpen = true
	m.came = append(m.came, s)
	return s
}

func (m *naiveMux) newStream(id uint64) *naiveStream {
	s := &naiveStream{
		m: m, id: id,
		out:  naiveCredit{limit: naiveStreamWindow},
		back: naiveCredit{limit: naiveStreamWindow, window: naiveStreamWindow},
	}
	m.streams[id] = s
	return s
}

// data takes in what came on a stream, and returns the credit for it.
func (m *naiveMux) data(s *naiveStream, flags byte, p []byte) {
	m.t.Helper()
	if s.ended {
		m.t.Fatalf("DATA on stream %d behind its end", s.id)
	}
	s.in = append(s.in, p...)
	if len(p) > 0 {
		cost := uint64(len(p)) + naiveFrameCost
		m.grant(0, &m.back, cost)
		m.grant(s.id, &s.back, cost)
	}
	if flags&naiveEND != 0 {
		s.ended = true
		m.over(s)
	}
}

// grant accounts what came, and raises the limit when half of it is used up.
func (m *naiveMux) grant(id uint64, c *naiveCredit, cost uint64) {
	m.t.Helper()
	if c.used += cost; c.used > c.limit {
		m.t.Fatalf("DATA of %d in all, with credit for %d, on stream %d (0: the connection)", c.used, c.limit, id)
	}
	if c.limit-c.used < c.window/2 {
		c.limit = c.used + c.window
		m.frame64(naiveWINDOW, id, c.limit)
	}
}

// over raises the limit of streams for one of the acceptor's that is done with.
func (m *naiveMux) over(s *naiveStream) {
	m.t.Helper()
	if s.ended && s.sentEnd && s.id%2 == 0 {
		m.theyMay++
		m.frame64(naiveSTREAMS, 0, m.theyMay)
	}
}

// open opens a stream. It is seen with the first write.
func (m *naiveMux) open() *naiveStream {
	m.t.Helper()
	for m.opened >= m.mayOpen {
		m.step()
	}
	m.opened++
	return m.newStream(2*m.opened - 1)
}

// write sends p, and half-closes if it is the last.
func (s *naiveStream) write(p []byte, last bool) {
	s.m.t.Helper()
	for first := true; first || len(p) > 0; first = false {
		n := min(len(p), 64<<10)
		var flags byte
		for n > 0 && !s.out.pay(n) {
			s.m.step()
			flags |= naiveWAITED
		}
		for n > 0 && !s.m.out.pay(n) {
			s.m.step()
			flags |= naiveWAITEDCONN
		}
		if s.sentEnd {
			return // reset meanwhile: the other side wants no more
		}
		if !s.sentOpen {
			flags |= naiveOPEN
			s.sentOpen = true
		}
		if last && n == len(p) {
			flags |= naiveEND
		}
		s.m.frame(naiveDATA|flags, s.id, p[:n])
		p = p[n:]
	}
	if last {
		s.sentEnd = true
		s.m.over(s)
	}
}

func (c *naiveCredit) cost(n int) uint64 {
	if n == 0 {
		return 0
	}
	return uint64(n) + naiveFrameCost
}

// pay uses credit for n bytes, if there is enough.
func (c *naiveCredit) pay(n int) bool {
	if c.used+c.cost(n) > c.limit {
		return false
	}
	c.used += c.cost(n)
	return true
}

// giveUp resets the stream: both directions of it.
func (s *naiveStream) giveUp(code uint32) {
	s.m.t.Helper()
	s.abort(code)
	if !s.ended {
		s.m.frame32(naiveSTOP, s.id, code)
	}
}

// abort ends this side's direction.
func (s *naiveStream) abort(code uint32) {
	s.m.t.Helper()
	if !s.sentEnd {
		s.m.frame32(naiveRESET, s.id, code)
		s.sentEnd = true
		s.m.over(s)
	}
}

// wait reads until the stream has n bytes, or has ended.
func (s *naiveStream) wait(n int) {
	s.m.t.Helper()
	for len(s.in) < n && !s.ended {
		s.m.step()
	}
}
