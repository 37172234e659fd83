package quic

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/bpf"
)

// filtered reports whether a filter takes a packet from an address. It runs the
// instructions over what the system would show it: x/net's machine has no way to find IP's
// header, so these loads are given one that lies behind the packet.
func filtered(t *testing.T, program []bpf.RawInstruction, from string, p ...byte) bool {
	t.Helper()
	const header = 1 << 8 // where IP's header lies
	ip := make([]byte, 40)
	switch a := netip.MustParseAddr(from); {
	case a.Is4():
		ip[0] = 0x45
		copy(ip[12:], a.AsSlice())
	default:
		ip[0] = 0x60
		copy(ip[8:], a.AsSlice())
	}
	packet := append(make([]byte, filterFirst), p...)
	if len(p) > 0 { // else what lies behind it would be its first byte
		packet = append(append(packet, make([]byte, header-len(packet))...), ip...)
	}
	for i, raw := range program {
		if load, ok := raw.Disassemble().(bpf.LoadAbsolute); ok && load.Off >= filterIP {
			program[i].K = load.Off - filterIP + header
		}
	}
	decoded, ok := bpf.Disassemble(program)
	if !ok {
		t.Fatalf("Disassemble(%v) is not whole", program)
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

func TestFilter(t *testing.T) {
	tagged := bars{tag: &idTag{7, 9}}
	open := tagged.program(nil)
	barred := []netip.Prefix{{}}
	for _, p := range []string{"10.0.0.1/32", "2001:db8:1:aa00::/56", "fe80::1/128", "10.9.9.9/32"} {
		barred = append(barred, netip.MustParsePrefix(p))
	}
	for _, tc := range []struct {
		name    string
		program []bpf.RawInstruction
		from    string
		packet  []byte
		want    bool
	}{
		{"nothing", open, "10.0.0.1", nil, false},
		{"a handshake", open, "10.0.0.1", []byte{0xc3, 1, 2, 3}, true},
		{"of a connection", open, "10.0.0.1", []byte{0x40, 7, 9, 3}, true},
		{"of no connection", open, "10.0.0.1", []byte{0x40, 7, 8, 3}, false},
		{"of any connection, without a tag", (&bars{}).program(nil), "10.0.0.1", []byte{0x40, 7, 8, 3}, true},
		{"barred", tagged.program(barred), "10.0.0.1", []byte{0xc3, 1, 2, 3}, false},
		{"barred last", tagged.program(barred), "10.9.9.9", []byte{0xc3, 1, 2, 3}, false},
		{"barred, of a connection", tagged.program(barred), "10.0.0.1", []byte{0x40, 7, 9, 3}, true},
		{"barred, of no connection", tagged.program(barred), "10.0.0.1", []byte{0x40, 7, 8, 3}, false},
		{"beside the barred", tagged.program(barred), "10.0.0.2", []byte{0xc3, 1, 2, 3}, true},
		{"barred network", tagged.program(barred), "2001:db8:1:aaff::7", []byte{0xc3, 1, 2, 3}, false},
		{"network beside it", tagged.program(barred), "2001:db8:1:ab00::7", []byte{0xc3, 1, 2, 3}, true},
		{"barred link", tagged.program(barred), "fe80::1", []byte{0xc3, 1, 2, 3}, false},
		{"link beside it", tagged.program(barred), "fe80::2", []byte{0xc3, 1, 2, 3}, true},
	} {
		if got := filtered(t, tc.program, tc.from, tc.packet...); got != tc.want {
			t.Errorf("%s: the filter takes it: %t, want %t", tc.name, got, tc.want)
		}
	}
}

// A source that sends far too many handshakes is barred for a while, and nobody else; then
// all begins anew.
func TestBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all [4]netip.Prefix
		for i := range all {
			all[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 32)
		}
		bad, busy, good, late := all[0], all[1], all[2], all[3]
		filters := make(chan []bpf.RawInstruction, 10)
		b := bars{filter: func(p []bpf.RawInstruction) error { filters <- p; return nil }}
		drop := func(source netip.Prefix, n int) {
			for range n {
				b.dropped(source, time.Now())
			}
		}
		for round := range 2 {
			for range 10 { // slowly
				drop(bad, barAfter/4)
				time.Sleep(barWindow + 1)
			}
			if len(filters) > 0 {
				t.Fatalf("round %d: barred although it sends slowly", round)
			}
			drop(good, 1)
			drop(busy, barAfter/4)
			drop(bad, barAfter)
			if len(filters) != 1 {
				t.Fatalf("round %d: %d filters set by a flood, want 1", round, len(filters))
			}
			program := <-filters
			for source, want := range map[string]bool{"10.0.0.1": false, "10.0.0.2": false, "10.0.0.3": true} {
				if got := filtered(t, program, source, 0xc3, 1, 2, 3); got != want {
					t.Errorf("round %d: a handshake from %s is taken: %t, want %t", round, source, got, want)
				}
			}
			time.Sleep(barTime / 2)
			drop(late, barAfter)
			if len(filters) != 1 {
				t.Fatalf("round %d: %d filters set by another flood, want 1", round, len(filters))
			}
			program = <-filters
			for source, want := range map[string]bool{"10.0.0.1": false, "10.0.0.3": true, "10.0.0.4": false} {
				if got := filtered(t, program, source, 0xc3, 1, 2, 3); got != want {
					t.Errorf("round %d: then a handshake from %s is taken: %t, want %t", round, source, got, want)
				}
			}
			time.Sleep(barTime - barTime/2 - 1) // not longer for the second
			synctest.Wait()
			if len(filters) > 0 {
				t.Fatalf("round %d: the filter is changed before %v are over", round, barTime)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if len(filters) != 1 || !filtered(t, <-filters, "10.0.0.1", 0xc3, 1, 2, 3) {
				t.Fatalf("round %d: still barred after %v", round, barTime)
			}
		}
	})
}

// Noise is barred too, whoever sends it.
func TestNoiseIsBarred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		filters := make(chan []bpf.RawInstruction, 2)
		v := newSieve(handshakeRate)
		v.bars = bars{filter: func(p []bpf.RawInstruction) error { filters <- p; return nil }, tag: &idTag{7, 9}}
		from := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1)}
		for range barAfter {
			v.passes([]byte{0x40, 7, 8}, from, time.Now()) // of no connection
		}
		if len(filters) != 1 {
			t.Fatalf("%d filters set by noise, want 1", len(filters))
		}
		program := <-filters
		for _, p := range [][]byte{{0x40, 7, 9}, {0xc3, 1, 2}} {
			if !filtered(t, program, "10.0.0.1", p...) {
				t.Errorf("a packet %x of the same source is not taken", p)
			}
		}
		if filtered(t, program, "10.0.0.2", 0x40, 7, 8) {
			t.Error("noise of another source is taken")
		}
		time.Sleep(barTime)
		synctest.Wait()
		if !filtered(t, <-filters, "10.0.0.1", 0x40, 7, 8) {
			t.Error("the filter is not removed")
		}
	})
}

// Of more sources than are counted the first are barred; where there are no filters, none.
func TestBarsAreBounded(t *testing.T) {
	tries := 0
	b := bars{filter: func([]bpf.RawInstruction) error { tries++; return errors.New("no filters here") }}
	now := time.Unix(1, 0)
	for i := range uint32(1000) {
		ip := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, i)))
		b.dropped(netip.PrefixFrom(ip, 32), now)
	}
	if len(b.drops) != maxBarred {
		t.Errorf("%d of 1000 sources are counted, want %d", len(b.drops), maxBarred)
	}
	first := netip.MustParsePrefix("0.0.0.0/32")
	for range 3 * barAfter {
		b.dropped(first, now)
	}
	if tries != 1 {
		t.Errorf("a system without filters is asked for them %d times, want 1", tries)
	}
}
