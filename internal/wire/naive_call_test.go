package wire_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// A naiveClient is the calling side of the protocol over a naiveMux, written
// from sections 3 to 10 of docs/wire.md alone.
type naiveClient struct {
	*naiveMux
	mayCall  uint64 // from tag 3 of WELCOME: slots that may be used
	calls    uint64 // made on the lane
	numbered uint64 // stream calls
	open     map[uint64]bool
	outcomes map[uint64]naiveOutcome // by call id
	replies  []*naiveStream          // reply streams that are not whole yet
	pongs    []string
	drain    bool
}

// Lane frames, stream frames, kinds.
const (
	naiveHELLO, naiveWELCOME, naiveREFUSE     = 1, 2, 3
	naiveCALL, naiveANSWER, naiveFAIL         = 4, 5, 6
	naiveCANCEL, naiveCANCELSTREAM            = 7, 8
	naivePING, naivePONG                      = 9, 10
	naiveDRAIN, naiveDRAINACK, naiveDONE      = 11, 12, 13
	naiveSOPEN, naiveSREPLY, naiveSMESSAGE    = 1, 2, 3
	naiveSEND, naiveSFAIL                     = 4, 5
	naiveUnary, naiveServerStream             = 1, 2
	naiveClientStream, naiveBidi, naiveNotify = 3, 4, 5
	naiveRaw, naiveJSON, naiveNamed           = 0, 1, 2
)

// sendLane sends a lane frame.
func (c *naiveClient) sendLane(typ byte, body []byte) {
	c.t.Helper()
	if len(body) > 16<<10 {
		c.t.Fatalf("lane frame of %d bytes", len(body))
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(typ)<<24|uint32(len(body)))
	c.frame(naiveDATA, 0, append(b, body...))
}

// hello sends HELLO, with a tag that nobody knows.
func (c *naiveClient) hello(version uint64) {
	c.t.Helper()
	tag := func(b []byte, tag uint64, value string) []byte {
		return naiveBytes(binary.AppendUvarint(b, tag), value)
	}
	b := tag(nil, 1, string(binary.AppendUvarint(nil, version)))
	b = tag(b, 77, "to be skipped")
	b = tag(b, 2, "instance")
	c.sendLane(naiveHELLO, tag(b, 4, string(binary.AppendUvarint(nil, 2<<20))))
}

// laneFrame takes the next lane frame, if there is a whole one.
func (c *naiveClient) laneFrame() (typ byte, body *naiveCursor, ok bool) {
	c.t.Helper()
	if len(c.lane) < 4 {
		return 0, nil, false
	}
	n := int(c.lane[1])<<16 | int(c.lane[2])<<8 | int(c.lane[3])
	if n > 16<<10 {
		c.t.Fatalf("lane frame of type %d has %d bytes", c.lane[0], n)
	}
	if len(c.lane) < 4+n {
		return 0, nil, false
	}
	typ, b := c.lane[0], c.lane[4:4+n]
	c.lane = c.lane[4+n:]
	return typ, &naiveCursor{c.t, b}, true
}

// firstFrame waits for the acceptor's first words.
func (c *naiveClient) firstFrame() (typ byte, body *naiveCursor) {
	c.t.Helper()
	for {
		if typ, body, ok := c.laneFrame(); ok {
			return typ, body
		}
		c.step()
	}
}

// welcome waits for WELCOME.
func (c *naiveClient) welcome() {
	c.t.Helper()
	typ, b := c.firstFrame()
	if typ != naiveWELCOME {
		c.t.Fatalf("the acceptor's first frame = %d % x, want WELCOME", typ, b.b)
	}
	seen := make(map[uint64]bool)
	for len(b.b) > 0 {
		tag, value := b.uvarint(), &naiveCursor{c.t, b.bytes(4096)}
		if tag < 64 && seen[tag] {
			c.t.Fatalf("tag %d comes twice", tag)
		}
		seen[tag] = true
		switch tag {
		case 1:
			if v := value.uvarint(); v != 1 {
				c.t.Fatalf("version = %d, want 1", v)
			}
			value.done()
		case 3:
			c.mayCall = min(value.uvarint(), 8192)
			value.done()
		}
	}
	if !seen[1] || c.mayCall == 0 {
		c.t.Fatalf("WELCOME has tags %v and lets %d calls be made", seen, c.mayCall)
	}
}

// call makes a call on the lane, and returns its id.
func (c *naiveClient) call(h naiveHead, msg string) (id uint64) {
	c.t.Helper()
	taken := make(map[uint64]bool)
	for id := range c.open {
		taken[id%8192] = true
	}
	slot := uint64(0)
	for taken[slot] {
		slot++
	}
	c.calls++
	id = c.calls<<13 | slot
	c.open[id] = true
	c.sendLane(naiveCALL, append(h.append(binary.AppendUvarint(nil, id)), msg...))
	return id
}

// cancel gives a lane call up.
func (c *naiveClient) cancel(id uint64) {
	c.t.Helper()
	c.sendLane(naiveCANCEL, binary.AppendUvarint(nil, id))
}

// outcome waits for that of a lane call.
func (c *naiveClient) outcome(id uint64) naiveOutcome {
	c.t.Helper()
	for {
		if o, ok := c.outcomes[id]; ok {
			return o
		}
		c.turn()
	}
}

// turn reads one frame of the link and does what came with it on the lane and
// on reply streams.
func (c *naiveClient) turn() {
	c.t.Helper()
	c.step()
	for {
		typ, body, ok := c.laneFrame()
		if !ok {
			break
		}
		c.onLane(typ, body)
	}
	c.replies, c.came = append(c.replies, c.came...), nil
	c.replies = slices.DeleteFunc(c.replies, func(s *naiveStream) bool {
		if s.ended {
			c.onReply(s)
		}
		return s.ended
	})
}

func (c *naiveClient) onLane(typ byte, body *naiveCursor) {
	c.t.Helper()
	switch typ {
	case naiveANSWER:
		id := body.uvarint()
		c.settle(id, naiveOutcome{trailer: body.trailer(), answer: body.b})
	case naiveFAIL:
		id := body.uvarint()
		c.settle(id, body.failure())
		body.done()
	case naivePING:
		c.sendLane(naivePONG, body.b)
	case naivePONG:
		c.pongs = append(c.pongs, string(body.b))
	case naiveDRAIN:
		body.done()
		c.drain = true
	default:
		if typ < 128 {
			c.t.Fatalf("lane frame of type %d: % x", typ, body.b)
		}
	}
}

func (c *naiveClient) settle(id uint64, o naiveOutcome) {
	c.t.Helper()
	if !c.open[id] {
		c.t.Fatalf("outcome %+v of call %d, which is not open", o, id)
	}
	delete(c.open, id)
	c.outcomes[id] = o
}

// onReply reads a reply stream that has ended, and half-closes it.
func (c *naiveClient) onReply(s *naiveStream) {
	c.t.Helper()
	typ, b := s.next()
	if typ != naiveSREPLY {
		c.t.Fatalf("a stream of the callee's begins with a frame of type %d", typ)
	}
	id := b.uvarint()
	b.done()
	messages, o := s.rest()
	if len(messages) > 1 || len(messages) == 0 && o.code == 0 {
		c.t.Fatalf("%d messages on a reply stream, want 1", len(messages))
	}
	o.answer = bytes.Join(messages, nil)
	c.settle(id, o)
	s.write(nil, true)
}

// stream begins a stream call and sends messages. last half-closes.
func (c *naiveClient) stream(h naiveHead, last bool, messages ...string) (s *naiveStream, number uint64) {
	c.t.Helper()
	number = c.numbered
	c.numbered++
	s = c.naiveMux.open()
	s.write(naiveStreamFrame(naiveSOPEN, string(h.append(binary.AppendUvarint(nil, number)))), false)
	for _, msg := range messages {
		s.message(msg)
	}
	if last {
		s.write(nil, true)
	}
	return s, number
}

func (s *naiveStream) message(msg string) {
	s.m.t.Helper()
	s.write(naiveStreamFrame(naiveSMESSAGE, msg), false)
}

func naiveStreamFrame(typ byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body))), body...)
}

// next waits for a whole frame of a stream.
func (s *naiveStream) next() (typ byte, body *naiveCursor) {
	s.m.t.Helper()
	s.wait(5)
	if len(s.in) < 5 {
		s.m.t.Fatalf("stream %d ends, reset %v, with %d bytes of a frame", s.id, s.reset != nil, len(s.in))
	}
	typ = s.in[0]
	n := binary.BigEndian.Uint32(s.in[1:])
	if typ != naiveSMESSAGE && n > 32<<10 || n > math.MaxInt32 {
		s.m.t.Fatalf("a frame of type %d on stream %d has %d bytes", typ, s.id, n)
	}
	s.wait(5 + int(n))
	if len(s.in) < 5+int(n) {
		s.m.t.Fatalf("stream %d ends in a frame of %d bytes", s.id, n)
	}
	body = &naiveCursor{s.m.t, s.in[5 : 5+n]}
	s.in = s.in[5+n:]
	return typ, body
}

// rest reads a stream of a call to its end.
func (s *naiveStream) rest() (messages [][]byte, o naiveOutcome) {
	s.m.t.Helper()
	for {
		typ, b := s.next()
		switch typ {
		case naiveSMESSAGE:
			messages = append(messages, b.b)
			continue
		case naiveSEND:
			o.trailer = b.trailer()
		case naiveSFAIL:
			o = b.failure()
		default:
			s.m.t.Fatalf("frame of type %d on stream %d", typ, s.id)
		}
		b.done()
		if s.wait(1); len(s.in) > 0 || s.reset != nil {
			s.m.t.Fatalf("stream %d goes on with % x, reset %v, behind its outcome", s.id, s.in, s.reset != nil)
		}
		return messages, o
	}
}
