package bar

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
)

const (
	// quicDrops is how many packets are too many: forty thousand a second, beyond those
	// that are let pass.
	quicDrops = 2048
	// tcpDrops is how many connections are: five thousand a second.
	tcpDrops = 256
)

// Where filters find things: they begin with the header of TCP or UDP.
const (
	udpHeader = 8
	tcpFlags  = 13
	ipHeader  = 0xfff00000 // SKF_NET_OFF
)

const (
	longHeader = 0x80 // of a QUIC packet: one of a handshake (RFC 9000, section 17.2)
	tcpSYN     = 0x02
)

var keep, drop = bpf.RetConstant{Val: 0xffffffff}, bpf.RetConstant{Val: 0}

// QUIC returns the Bar of a UDP socket. It bars packets of handshakes of its sources, and, if
// there is a tag, packets of connections whose IDs do not begin with its two bytes; these are
// nobody's.
func QUIC(set SetFilter, tag []byte) *Bar {
	connected := []bpf.Instruction{keep}
	if len(tag) > 0 {
		connected = []bpf.Instruction{
			bpf.LoadAbsolute{Off: udpHeader + 1, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(binary.BigEndian.Uint16(tag)), SkipTrue: 1},
			drop,
			keep,
		}
	}
	return &Bar{set: set, after: quicDrops, first: slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: udpHeader, Size: 1}, // a packet without is dropped
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: longHeader, SkipTrue: uint8(len(connected))},
	}, connected)}
}

// TCP returns the Bar of a listening TCP socket. It bars first packets (SYN), so that those
// who send them try again after a second, and get no answer meanwhile. A connection that is
// made while the filter is set inherits it, and lets everything pass.
func TCP(set SetFilter) *Bar {
	return &Bar{set: set, after: tcpDrops, first: []bpf.Instruction{
		bpf.LoadAbsolute{Off: tcpFlags, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: tcpSYN, SkipTrue: 1},
		keep,
	}}
}

// program returns a filter that drops what first does, and what goes on behind it and comes
// from those barred.
func program(first []bpf.Instruction, barred []netip.Prefix) []bpf.RawInstruction {
	all := slices.Clone(first)
	for _, p := range barred {
		if p.IsValid() { // else first drops it
			all = append(all, dropFrom(p)...)
		}
	}
	raw, err := bpf.Assemble(append(all, keep))
	if err != nil {
		panic(err) // a mistake in this file
	}
	return raw
}

// dropFrom returns what drops packets of a source, and goes on to what follows with
// those of others.
func dropFrom(source netip.Prefix) []bpf.Instruction {
	version, offset := uint32(0x40), uint32(ipHeader+12) // where the sender's address is
	if source.Addr().Is6() {
		version, offset = 0x60, ipHeader+8
	}
	steps := []bpf.Instruction{
		bpf.LoadAbsolute{Off: ipHeader, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: version},
	}
	addr := source.Addr().AsSlice()
	for bits := source.Bits(); bits > 0; bits -= 32 {
		mask := ^uint32(0) << (32 - min(bits, 32))
		steps = append(steps,
			bpf.LoadAbsolute{Off: offset, Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(addr) & mask},
		)
		addr, offset = addr[4:], offset+4
	}
	steps = append(steps, drop)
	for i, s := range steps { // what does not match goes behind the end
		if j, ok := s.(bpf.JumpIf); ok {
			j.SkipFalse = uint8(len(steps) - 1 - i)
			steps[i] = j
		}
	}
	return steps
}
