//go:build darwin || freebsd || linux

package quic

import (
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

// What the sieve keeps is read, whole and in order, whatever came between.
func TestReadBatch(t *testing.T) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	want := []string{"\x40one", "\xc0three and more", "\x41five"}
	for _, p := range []string{"\x01zero", want[0], "\x02a long second one", want[1], "", want[2], "\x03"} {
		if _, err := from.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	s := adapt(to, handshakeRate, slog.New(slog.DiscardHandler)).(*udpSocket)
	_ = s.SetReadDeadline(time.Now().Add(20 * time.Second)) // ends a hang
	ms := make([]ipv4.Message, 8)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, 100)}
		ms[i].OOB = make([]byte, 100)
	}
	var got []string
	for len(got) < len(want) {
		n, err := s.ReadBatch(ms, 0)
		if err != nil {
			t.Fatalf("ReadBatch() = %v after %q, want %q", err, got, want)
		}
		for _, m := range ms[:n] {
			if m.Addr.String() != from.LocalAddr().String() {
				t.Errorf("a packet from %v, want %v", m.Addr, from.LocalAddr())
			}
			got = append(got, string(m.Buffers[0][:m.N]))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("ReadBatch() reads %q, want %q", got, want)
	}
}
