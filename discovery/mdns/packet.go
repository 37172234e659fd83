package mdns

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// What a packet may be. Larger ones, and ones that announce more records, are not looked at.
const (
	maxPacket  = 1452 // bytes: what fits an Ethernet frame over IPv6
	maxRecords = 64   // of all four sections together
)

// Numbers of RFC 1035 and RFC 6762.
const (
	headerSize = 12

	typeA    = 1
	typePTR  = 12
	typeTXT  = 16
	typeAAAA = 28
	typeSRV  = 33
	typeANY  = 255

	classIN  = 1
	classANY = 255
	topBit   = 1 << 15 // of a class: in a question, unicast is wanted; in an answer, forget what you held

	flagResponse      = 1 << 15
	flagAuthoritative = 1 << 10
	opcodeMask        = 0xf << 11
	rcodeMask         = 0xf
)

// service is the name "_kith._udp.local." as it is in a packet.
const service = "\x05_kith\x04_udp\x05local\x00"

// labelSize is the length of an ID's text, which is the first label of an instance's name.
const labelSize = 56

// A label is the text of an ID. The zero label stands for the service itself.
type label [labelSize]byte

func labelOf(id kith.ID) label { return label([]byte(id.String())) }

// A question is one that we may have an answer to.
type question struct {
	label   label // zero: who is there?
	qtype   uint16
	unicast bool // the answer is wanted by unicast
}

// An answer is a record that somebody put under an instance's name.
type answer struct {
	label label
	ttl   uint32
	raw   []byte // a part of message.buf
}

// A message is what of a packet concerns us. It is used again and again, so that a flood
// allocates nothing.
type message struct {
	id        uint16
	response  bool
	questions []question
	answers   []answer
	buf       []byte
}

var (
	errSize    = errors.New("packet too short or too long")
	errHeader  = errors.New("not a standard query or response")
	errRecords = errors.New("too many records")
	errShort   = errors.New("cut short")
	errName    = errors.New("bad name")
)

// parse reads p, which it does not keep. What does not concern us is skipped unread, but a packet that does
// not hold together is refused whole.
func (m *message) parse(p []byte) error {
	m.questions, m.answers, m.buf = m.questions[:0], m.answers[:0], m.buf[:0]
	if len(p) < headerSize || len(p) > maxPacket {
		return errSize
	}
	flags := binary.BigEndian.Uint16(p[2:])
	if flags&(opcodeMask|rcodeMask) != 0 {
		return errHeader
	}
	m.id, m.response = binary.BigEndian.Uint16(p), flags&flagResponse != 0
	var counts [4]int
	total := 0
	for i := range counts {
		counts[i] = int(binary.BigEndian.Uint16(p[4+2*i:]))
		total += counts[i]
	}
	if total > maxRecords {
		return errRecords
	}
	off, err := m.parseQuestions(p, counts[0])
	for section := 1; section < len(counts) && err == nil; section++ {
		for i := 0; i < counts[section] && err == nil; i++ {
			off, err = m.parseRecord(p, off, section != 2) // what is in the authority section is a claim, no answer
		}
	}
	return err
}

func (m *message) parseQuestions(p []byte, n int) (off int, err error) {
	off = headerSize
	var name nameBuf
	for range n {
		if off, err = name.read(p, off); err != nil {
			return 0, err
		}
		if len(p)-off < 4 {
			return 0, errShort
		}
		qtype, class := binary.BigEndian.Uint16(p[off:]), binary.BigEndian.Uint16(p[off+2:])
		off += 4
		if m.response || (class&^topBit != classIN && class&^topBit != classANY) {
			continue
		}
		name.lower() // whoever asks may write it as he likes
		l, ok := name.instance()
		if !ok || (l == label{} && qtype != typePTR && qtype != typeANY) {
			continue
		}
		m.questions = append(m.questions, question{label: l, qtype: qtype, unicast: class&topBit != 0})
	}
	return off, nil
}

// parseRecord reads the record at off. Only with use it is looked at.
func (m *message) parseRecord(p []byte, off int, use bool) (next int, err error) {
	var name nameBuf
	if off, err = name.read(p, off); err != nil {
		return 0, err
	}
	if len(p)-off < 10 {
		return 0, errShort
	}
	rtype, class := binary.BigEndian.Uint16(p[off:]), binary.BigEndian.Uint16(p[off+2:])
	ttl, size := binary.BigEndian.Uint32(p[off+4:]), int(binary.BigEndian.Uint16(p[off+8:]))
	off += 10
	if len(p)-off < size {
		return 0, errShort
	}
	data := p[off : off+size]
	off += size
	if !use || !m.response || rtype != typeTXT || class&^topBit != classIN {
		return off, nil
	}
	if l, ok := name.instance(); ok && l != (label{}) {
		m.takeText(l, ttl, data)
	}
	return off, nil
}

// maxText is how long a record is in base64.
const maxText = (discovery.MaxSize*8 + 5) / 6

// takeText reads the strings of a TXT record, whose form textOf has. What is not of that form is not ours.
func (m *message) takeText(l label, ttl uint32, data []byte) {
	var text [maxText]byte
	n, part := 0, byte('0')
	for i := 0; len(data) > 0; i++ {
		size := int(data[0])
		if size >= len(data) {
			return
		}
		s := data[1 : 1+size]
		data = data[1+size:]
		switch {
		case i == 0 && string(s) != textVersion:
			return
		case size < partKey || s[0] != 'r' || s[1] != part || s[2] != '=':
			continue // a later version may say more
		case n+size-partKey > len(text):
			return
		}
		n += copy(text[n:], s[partKey:])
		part++
	}
	start := len(m.buf)
	buf, err := base64.RawURLEncoding.Strict().AppendDecode(m.buf, text[:n])
	if err != nil || n == 0 {
		return
	}
	m.buf = buf
	m.answers = append(m.answers, answer{label: l, ttl: ttl, raw: buf[start:]})
}

// A nameBuf holds a name as it is in a packet, without pointers.
type nameBuf struct {
	b [255]byte
	n int
}

// read reads the name at off and returns where it ends. Pointers must lead backwards, each
// further than the last, so that there is no loop.
func (b *nameBuf) read(p []byte, off int) (next int, err error) {
	b.n = 0
	bound := off // a pointer must lead before it
	for {
		if off >= len(p) {
			return 0, errShort
		}
		size := int(p[off])
		switch {
		case size&0xc0 == 0xc0:
			if off+1 >= len(p) {
				return 0, errShort
			}
			if next == 0 {
				next = off + 2
			}
			to := (size&^0xc0)<<8 | int(p[off+1])
			if to >= bound || to < headerSize {
				return 0, errName
			}
			off, bound = to, to
			continue
		case size > 63:
			return 0, errName
		case size >= len(p)-off:
			return 0, errShort
		case b.n+1+size > len(b.b):
			return 0, errName
		}
		b.n += copy(b.b[b.n:], p[off:off+1+size])
		off += 1 + size
		if size == 0 {
			if next == 0 {
				next = off
			}
			return next, nil
		}
	}
}

// lower puts A to Z into lower case. Lengths are below 64, so they are left alone.
func (b *nameBuf) lower() {
	for i, c := range b.b[:b.n] {
		if 'A' <= c && c <= 'Z' {
			b.b[i] = c + 'a' - 'A'
		}
	}
}

// instance says whether the name is that of our service, with a zero label, or of one of its instances.
func (b *nameBuf) instance() (l label, ok bool) {
	name := b.b[:b.n]
	if string(name) == service {
		return label{}, true
	}
	if len(name) == 1+labelSize+len(service) && name[0] == labelSize && string(name[1+labelSize:]) == service {
		return label(name[1:]), true
	}
	return label{}, false
}
