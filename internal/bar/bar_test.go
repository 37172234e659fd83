package bar_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/bpf"

	"github.com/kith-go/kith/internal/bar"
)

// How many are too many in a moment: packets of handshakes, and connections.
const quicDrops, tcpDrops = 2048, 256

// A kind is the Bar of one kind of socket, with packets that it sees.
type kind struct {
	make        func(bar.SetFilter) *bar.Bar
	drops       int
	first       []byte // begins a connection
	established []byte
}

var kinds = map[string]kind{
	"QUIC": {
		func(set bar.SetFilter) *bar.Bar { return bar.QUIC(set, []byte{7, 9}) },
		quicDrops, udp(0xc3, 1, 2, 3), udp(0x40, 7, 9, 3),
	},
	"TCP": {bar.TCP, tcpDrops, tcp(0x02), tcp(0x18)},
}

// udp returns what a filter of a UDP socket sees of a packet.
func udp(p ...byte) []byte { return append(make([]byte, 8), p...) }

// tcp returns what a filter of a TCP socket sees of a packet with the flags.
func tcp(flags byte) []byte {
	p := make([]byte, 20)
	p[13] = flags
	return p
}

// takes reports whether a filter takes a packet from an address. It runs the
// instructions over what the system would show it: x/net's machine has no way to find IP's
// header, so these loads are given one that lies behind the packet.
func takes(t *testing.T, program []bpf.RawInstruction, from string, packet []byte) bool {
	t.Helper()
	if len(program) == 0 {
		return true // there is none
	}
	const net, header = 0xfff00000, 1 << 8 // where filters find IP's header, and where it lies
	ip := make([]byte, 40)
	switch a := netip.MustParseAddr(from); {
	case a.Is4():
		ip[0] = 0x45
		copy(ip[12:], a.AsSlice())
	default:
		ip[0] = 0x60
		copy(ip[8:], a.AsSlice())
	}
	if len(packet) > 8 { // else what lies behind it would be its first byte
		packet = append(append(packet, make([]byte, header-len(packet))...), ip...)
	}
	decoded, ok := bpf.Disassemble(program)
	if !ok {
		t.Fatalf("Disassemble(%v) is not whole", program)
	}
	for i, step := range decoded {
		if load, ok := step.(bpf.LoadAbsolute); ok && load.Off >= net {
			decoded[i] = bpf.LoadAbsolute{Off: load.Off - net + header, Size: load.Size}
		}
	}
	vm, err := bpf.NewVM(decoded)
	if err != nil {
		t.Fatalf("NewVM(%v) = %v", decoded, err)
	}
	n, err := vm.Run(packet)
	if err != nil {
		t.Fatalf("Run(%v) = %v", decoded, err)
	}
	return n > 0
}

// filters is a socket's, as they are set.
type filters chan []bpf.RawInstruction

func (f filters) set(p []bpf.RawInstruction) error {
	f <- p
	return nil
}

func drop(b *bar.Bar, source netip.Prefix, n int) {
	for range n {
		b.Dropped(source, time.Now())
	}
}

// What the filters take once sources are barred.
func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := make(filters, 10)
		barred := func(b *bar.Bar, drops int, sources ...string) (program []bpf.RawInstruction) {
			for _, p := range sources {
				source := netip.Prefix{} // noise
				if p != "" {
					source = netip.MustParsePrefix(p)
				}
				drop(b, source, drops)
				program = <-set
			}
			b.Stop()
			return program
		}
		all := []string{"", "10.0.0.1/32", "2001:db8:1:aa00::/56", "fe80::1/128", "10.9.9.9/32"}
		quic := barred(bar.QUIC(set.set, []byte{7, 9}), quicDrops, all...)
		noise := barred(bar.QUIC(set.set, []byte{7, 9}), quicDrops, "")
		untagged := barred(bar.QUIC(set.set, nil), quicDrops, "")
		syn := barred(bar.TCP(set.set), tcpDrops, all[1:]...)
		for _, tc := range []struct {
			name    string
			program []bpf.RawInstruction
			from    string
			packet  []byte
			want    bool
		}{
			{"nothing", noise, "10.0.0.1", udp(), false},
			{"a handshake", noise, "10.0.0.1", udp(0xc3, 1, 2, 3), true},
			{"of a connection", noise, "10.0.0.1", udp(0x40, 7, 9, 3), true},
			{"of no connection", noise, "10.0.0.1", udp(0x40, 7, 8, 3), false},
			{"of any connection, without a tag", untagged, "10.0.0.1", udp(0x40, 7, 8, 3), true},
			{"barred", quic, "10.0.0.1", udp(0xc3, 1, 2, 3), false},
			{"barred last", quic, "10.9.9.9", udp(0xc3, 1, 2, 3), false},
			{"barred, of a connection", quic, "10.0.0.1", udp(0x40, 7, 9, 3), true},
			{"barred, of no connection", quic, "10.0.0.1", udp(0x40, 7, 8, 3), false},
			{"beside the barred", quic, "10.0.0.2", udp(0xc3, 1, 2, 3), true},
			{"barred network", quic, "2001:db8:1:aaff::7", udp(0xc3, 1, 2, 3), false},
			{"network beside it", quic, "2001:db8:1:ab00::7", udp(0xc3, 1, 2, 3), true},
			{"barred link", quic, "fe80::1", udp(0xc3, 1, 2, 3), false},
			{"link beside it", quic, "fe80::2", udp(0xc3, 1, 2, 3), true},
			{"a first packet, barred", syn, "10.0.0.1", tcp(0x02), false},
			{"one that asks for ECN, barred", syn, "10.0.0.1", tcp(0xc2), false},
			{"one of a barred network", syn, "2001:db8:1:aaff::7", tcp(0x02), false},
			{"one from beside the barred", syn, "10.0.0.2", tcp(0x02), true},
			{"the last one of a handshake, barred", syn, "10.0.0.1", tcp(0x10), true},
			{"data, barred", syn, "10.0.0.1", tcp(0x18), true},
			{"the end, barred", syn, "10.0.0.1", tcp(0x11), true},
		} {
			if got := takes(t, tc.program, tc.from, tc.packet); got != tc.want {
				t.Errorf("%s: the filter takes it: %t, want %t", tc.name, got, tc.want)
			}
		}
	})
}

// A source that sends far too much is barred for a while, and nobody else; then all
// begins anew.
func TestBars(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testBars(t, k) }) })
	}
}

func testBars(t *testing.T, k kind) {
	const window, barTime = 50 * time.Millisecond, 250 * time.Millisecond
	var all [4]netip.Prefix
	for i := range all {
		all[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 32)
	}
	bad, busy, good, late := all[0], all[1], all[2], all[3]
	set := make(filters, 10)
	b := k.make(set.set)
	check := func(when string, program []bpf.RawInstruction, want map[netip.Prefix]bool) {
		t.Helper()
		for source, want := range want {
			if got := takes(t, program, source.Addr().String(), k.first); got != want {
				t.Errorf("%s: a newcomer from %v is taken: %t, want %t", when, source, got, want)
			}
			if !takes(t, program, source.Addr().String(), k.established) {
				t.Errorf("%s: a packet of a connection with %v is not taken", when, source)
			}
		}
	}
	for range 2 {
		for range 10 { // slowly
			drop(b, bad, k.drops/4)
			time.Sleep(window + 1)
		}
		if len(set) > 0 {
			t.Fatal("barred although it sends slowly")
		}
		drop(b, good, 1)
		drop(b, busy, k.drops/4)
		drop(b, bad, k.drops)
		if len(set) != 1 {
			t.Fatalf("%d filters set by a flood, want 1", len(set))
		}
		check("in a flood", <-set, map[netip.Prefix]bool{bad: false, busy: false, good: true})
		time.Sleep(barTime / 2)
		drop(b, late, k.drops)
		if len(set) != 1 {
			t.Fatalf("%d filters set by another flood, want 1", len(set))
		}
		check("in another one", <-set, map[netip.Prefix]bool{bad: false, good: true, late: false})
		time.Sleep(barTime - barTime/2 - 1) // not longer for the second
		synctest.Wait()
		if len(set) > 0 {
			t.Fatalf("the filter is changed before %v are over", barTime)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(set) != 1 {
			t.Fatalf("still barred after %v", barTime)
		}
		check("afterwards", <-set, map[netip.Prefix]bool{bad: true, late: true})
	}
}

// Of more sources than are counted the first are barred; where there are no filters, none.
func TestBarsAreBounded(t *testing.T) {
	tries := 0
	b := bar.TCP(func([]bpf.RawInstruction) error {
		tries++
		return errors.New("no filters here")
	})
	now := time.Unix(1, 0)
	source := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i)))), 32)
	}
	for i := range 16 {
		b.Dropped(source(i), now)
	}
	for range 3 * tcpDrops {
		b.Dropped(source(16), now)
	}
	if tries != 0 {
		t.Errorf("a source that is not counted is barred %d times, want 0", tries)
	}
	for range 3 * tcpDrops {
		b.Dropped(source(0), now)
	}
	if tries != 1 {
		t.Errorf("a system without filters is asked for them %d times, want 1", tries)
	}
}

// A socket without filters, and a Bar that is none, are no trouble.
func TestNoBar(t *testing.T) {
	var none *bar.Bar
	drop(none, netip.Prefix{}, quicDrops)
	none.Stop()
	b := bar.TCP(nil)
	drop(b, netip.MustParsePrefix("10.0.0.1/32"), 2*tcpDrops)
	b.Stop()
}
