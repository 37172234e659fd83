package quic

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
)

const (
	// barAfter is how many packets of one source the sieve drops in barWindow before the
	// system is asked to: forty thousand a second, beyond those that it lets pass.
	barAfter  = 2048
	barWindow = 50 * time.Millisecond
	// barTime is for how long. Afterwards the source is as good as any.
	barTime = 500 * time.Millisecond
	// maxBarred is how many sources are counted, and barred, at a time.
	maxBarred = 16
)

// bars has the system drop what the sieve would, while that is very much: handshakes of
// sources that send far too many, and noise. To read a packet, so that it can be dropped, is
// most of what such a flood costs; this way it costs whoever delivers it. In peace a socket has
// no filter. It belongs to the goroutine that reads, but for lift.
type bars struct {
	filter func([]bpf.RawInstruction) error // sets a socket's filter; nil where there is none
	tag    *idTag                           // of the socket's connections; nil if they have none
	drops  map[netip.Prefix]int             // of sources, since began; noise is nobody's
	began  time.Time
	barred []netip.Prefix // by the filter that is set, or was last
	until  time.Time      // that one is
	up     atomic.Bool    // it is set; lift removes it
	timer  *time.Timer    // runs lift; nil before the first bar
}

// dropped notes that a packet of source was dropped, noise if that is not valid, and
// bars those that send on like that.
func (b *bars) dropped(source netip.Prefix, now time.Time) {
	if b.filter == nil {
		return
	}
	if now.Sub(b.began) > barWindow {
		b.drops, b.began = make(map[netip.Prefix]int), now
	}
	n := b.drops[source] + 1
	if n > 1 || len(b.drops) < maxBarred {
		b.drops[source] = n
	}
	if n >= barAfter {
		b.bar(now)
	}
}

// bar sets a filter, or adds to the one that is set.
func (b *bars) bar(now time.Time) {
	switch {
	case !b.up.Load():
		b.barred, b.until = nil, now.Add(barTime)
	case !b.timer.Stop():
		return // lift runs
	}
	for p, n := range b.drops {
		if n >= barAfter/4 && len(b.barred) < maxBarred && !slices.Contains(b.barred, p) { // it would be next
			b.barred = append(b.barred, p)
		}
	}
	clear(b.drops)
	if err := b.filter(b.program(b.barred)); err != nil && !b.up.Load() {
		b.filter = nil // the system has none, or does not let us
		return
	}
	b.up.Store(true)
	if left := b.until.Sub(now); b.timer == nil {
		b.timer = time.AfterFunc(left, b.lift)
	} else {
		b.timer.Reset(left)
	}
}

// stop is called when nobody reads any more.
func (b *bars) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// lift lets everybody in again. If the socket has closed there is nothing to lift.
func (b *bars) lift() {
	_ = b.filter(assemble(bpf.RetConstant{Val: filterKeep}))
	b.up.Store(false)
}

const (
	filterFirst = 8          // where filters find a packet's first byte: they begin with UDP's header
	filterIP    = 0xfff00000 // where they find IP's header (SKF_NET_OFF)
	filterKeep  = 0xffffffff // all of a packet's bytes
)

// program returns a filter that drops packets of handshakes of those barred, and noise: packets
// of connections without the tag.
func (b *bars) program(barred []netip.Prefix) []bpf.RawInstruction {
	connected := []bpf.Instruction{bpf.RetConstant{Val: filterKeep}}
	if b.tag != nil {
		connected = []bpf.Instruction{
			bpf.LoadAbsolute{Off: filterFirst + 1, Size: tagLength},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(binary.BigEndian.Uint16(b.tag[:])), SkipTrue: 1},
			bpf.RetConstant{Val: 0},
			bpf.RetConstant{Val: filterKeep},
		}
	}
	program := slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: filterFirst, Size: 1}, // a packet without is dropped
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: handshake, SkipTrue: uint8(len(connected))},
	}, connected)
	for _, p := range barred {
		if p.IsValid() { // else it is noise
			program = append(program, dropFrom(p)...)
		}
	}
	return assemble(append(program, bpf.RetConstant{Val: filterKeep})...)
}

func assemble(program ...bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic(err) // a mistake in this file
	}
	return raw
}

// dropFrom returns what drops packets of a source, and goes on to what follows with
// those of others.
func dropFrom(source netip.Prefix) []bpf.Instruction {
	version, offset := uint32(0x40), uint32(filterIP+12) // where the sender's address is
	if source.Addr().Is6() {
		version, offset = 0x60, filterIP+8
	}
	steps := []bpf.Instruction{
		bpf.LoadAbsolute{Off: filterIP, Size: 1},
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
	steps = append(steps, bpf.RetConstant{Val: 0})
	for i, s := range steps { // what does not match goes behind the end
		if j, ok := s.(bpf.JumpIf); ok {
			j.SkipFalse = uint8(len(steps) - 1 - i)
			steps[i] = j
		}
	}
	return steps
}
