package mdns

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/kith-go/kith/discovery"
)

// A TXT record of ours is the string textVersion and then the signed record in base64url, in strings "r0=...",
// "r1=..." of at most 255 bytes.
const (
	textVersion = "v=1"
	partKey     = len("r0=")
	partSize    = 255 - partKey
)

// How long others may hold what we say, in seconds.
const (
	ttlAnswer = 120
	ttlLegacy = 10 // of an answer to who is no mDNS host and would not hear our goodbye
)

// textOf returns the strings of s's TXT record.
func textOf(s discovery.Signed) []string { return textOfBytes(s.Append(nil)) }

func textOfBytes(raw []byte) []string {
	text := base64.RawURLEncoding.EncodeToString(raw)
	parts := []string{textVersion}
	for i := 0; len(text) > 0; i++ {
		n := min(len(text), partSize)
		parts = append(parts, fmt.Sprintf("r%d=%s", i, text[:n]))
		text = text[n:]
	}
	return parts
}

// portOf returns the port for the SRV record, which nobody relies on: kith reads addresses from the signed record. It
// is not zero, for which some programs take a service as not there.
func portOf(r discovery.Record) uint16 {
	const discard = 9 // the port that stands for nothing
	for _, a := range r.Addrs {
		if _, hostport, ok := strings.Cut(a, "://"); ok {
			if _, port, err := net.SplitHostPort(hostport); err == nil {
				if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
					return uint16(n)
				}
			}
		}
	}
	return discard
}

// A legacy is a question to be repeated in the answer, for programs that ask once from a port of their own (RFC
// 6762, section 6.7).
type legacy struct {
	id       uint16
	question question
}

// buildAnswer returns the packet that says a's record: PTR, TXT, SRV and, for programs other than kith, the
// address of the interface that it leaves by, if valid. ttl 0 is a goodbye. It is at most maxPacket long.
func buildAnswer(a *advert, addr netip.Addr, ttl uint32, to *legacy) []byte {
	b := builder{p: make([]byte, headerSize, 512)}
	b.number(2, flagResponse|flagAuthoritative)
	unique := uint16(classIN | topBit)
	if to != nil {
		unique, ttl = classIN, min(ttl, ttlLegacy)
		b.number(0, to.id)
		b.number(4, 1)
		if to.question.label != (label{}) {
			b.instance(a.label)
		} else {
			b.service()
		}
		b.append16(to.question.qtype)
		b.append16(classIN)
	}

	b.service()
	end := b.header(typePTR, classIN, ttl)
	b.instance(a.label)
	end()

	b.instance(a.label)
	end = b.header(typeTXT, unique, ttl)
	for _, s := range a.text {
		b.p = append(append(b.p, byte(len(s))), s...)
	}
	end()

	b.instance(a.label)
	end = b.header(typeSRV, unique, ttl)
	b.p = append(b.p, 0, 0, 0, 0) // priority and weight
	b.append16(a.port)
	host := len(b.p)
	b.host(a.label)
	end()
	b.number(6, 3)

	if ip := addr.AsSlice(); ip != nil && len(b.p)+12+len(ip) <= maxPacket {
		b.pointer(host)
		rtype := uint16(typeA)
		if addr.Is6() {
			rtype = typeAAAA
		}
		end = b.header(rtype, unique, ttl)
		b.p = append(b.p, ip...)
		end()
		b.number(6, 4)
	}
	return b.p
}

// buildQuestion returns the question who is there, or, of a label that is not zero, whether it is.
func buildQuestion(l label) []byte {
	b := builder{p: make([]byte, headerSize, 128)}
	b.number(4, 1)
	qtype := uint16(typePTR)
	if l == (label{}) {
		b.service()
	} else {
		b.instance(l)
		qtype = typeTXT
	}
	b.append16(qtype)
	b.append16(classIN)
	return b.p
}

// A builder appends to a packet, and writes the names that it has once written as pointers.
type builder struct {
	p           []byte
	serviceAt   int // where the service's name is; 0 for nowhere yet
	instancesAt int // where the only instance's name is
}

// localAt is where "local." is within the service's name.
var localAt = strings.Index(service, "\x05local")

func (b *builder) number(at int, n uint16) { binary.BigEndian.PutUint16(b.p[at:], n) }
func (b *builder) append16(n uint16)       { b.p = binary.BigEndian.AppendUint16(b.p, n) }
func (b *builder) pointer(to int)          { b.append16(0xc000 | uint16(to)) }

func (b *builder) service() {
	if b.serviceAt != 0 {
		b.pointer(b.serviceAt)
		return
	}
	b.serviceAt = len(b.p)
	b.p = append(b.p, service...)
}

func (b *builder) instance(l label) {
	if b.instancesAt != 0 {
		b.pointer(b.instancesAt)
		return
	}
	b.instancesAt = len(b.p)
	b.p = append(append(b.p, labelSize), l[:]...)
	b.service()
}

// host appends the name of the host in the SRV record: the ID once more, for no other name of the host is told.
func (b *builder) host(l label) {
	b.p = append(append(b.p, labelSize), l[:]...)
	b.pointer(b.serviceAt + localAt)
}

// header appends what follows a record's name. The function returned fills in the length when the data is there.
func (b *builder) header(rtype, class uint16, ttl uint32) (end func()) {
	b.append16(rtype)
	b.append16(class)
	b.p = binary.BigEndian.AppendUint32(b.p, ttl)
	b.append16(0)
	start := len(b.p)
	return func() { b.number(start-2, uint16(len(b.p)-start)) }
}
