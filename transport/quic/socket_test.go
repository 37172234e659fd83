package quic_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	quicgo "github.com/quic-go/quic-go"
)

// A transport that listens dials from the port at which it listens.
func TestOneSocket(t *testing.T) {
	for _, at := range []string{":0", "127.0.0.1:0"} {
		node := quic.New(quic.Config{})
		p := connect(t, node, quic.New(quic.Config{}), "127.0.0.1:0")
		own, err := node.Listen(t.Context(), transport.Addr{Host: at})
		if err != nil {
			t.Fatalf("Listen(%q) = %v", at, err)
		}
		dialed, accepted := dialAndAccept(t, node, p.listener)
		if got, want := accepted.Info().Remote, own.Addr(); got != want {
			t.Errorf("Info().Remote = %v, want the listener's %v", got, want)
		}
		if got, want := dialed.Info().Local, own.Addr(); got != want {
			t.Errorf("Info().Local = %v, want the listener's %v", got, want)
		}
		dialAndAccept(t, node, own) // itself
	}
}

// A closed listener refuses newcomers while its connections last. Then the
// port is free.
func TestSuccessor(t *testing.T) {
	p := connect(t, quic.New(quic.Config{}), quic.New(quic.Config{}), "127.0.0.1:0")
	l := p.listener
	if err := l.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	near, far := stream(t, p.dialed, p.accepted)
	near.Close()
	far.Close()

	start := time.Now()
	_, err := p.dialer.Dial(t.Context(), l.Addr())
	if err == nil || !strings.Contains(err.Error(), "refused by the other side") {
		t.Errorf("Dial(closed listener) = %v, want a refusal", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("Dial(closed listener) took %v, want at once", d)
	}
	if _, err := p.server.Listen(t.Context(), l.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Listen() while the connections last = %v, want EADDRINUSE", err)
	}
	p.accepted.CloseWithError(kith.Unavailable, "drained")
	again, err := p.server.Listen(t.Context(), l.Addr())
	if err != nil {
		t.Fatalf("Listen() after the last connection = %v, want nil", err)
	}
	dialAndAccept(t, p.dialer, again)
}

func TestNobodyListens(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.LocalAddr().String()
	l.Close()
	d := quic.New(quic.Config{})
	defer d.Close()
	start := time.Now()
	_, err = d.Dial(t.Context(), transport.Addr{ID: kith.NewKey().ID(), Host: host})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial(closed port) = %v, want syscall.ECONNREFUSED", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Dial(closed port) took %v, want at once", took)
	}
}

// A host with addresses of both families is reached whichever has the listener.
func TestBothFamilies(t *testing.T) {
	d := quic.New(quic.Config{})
	defer d.Close()
	hosts := []string{""} // this host
	if ips, err := net.LookupIP("localhost"); err == nil && len(ips) > 1 {
		hosts = append(hosts, "localhost")
	}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := quic.New(quic.Config{})
		defer s.Close()
		l, err := s.Listen(t.Context(), transport.Addr{Host: at})
		if err != nil {
			t.Logf("not tested: %v", err)
			continue
		}
		_, port := l.Addr().SplitHostPort()
		for _, host := range hosts {
			a := l.Addr()
			a.Host = fmt.Sprintf("%s:%d", host, port)
			c, err := d.Dial(t.Context(), a)
			if err != nil {
				t.Errorf("Dial(%q), listening at %v = %v, want nil", a.Host, l.Addr().Host, err)
				continue
			}
			if got := c.Info().Remote.Host; got != l.Addr().Host {
				t.Errorf("Info().Remote.Host = %q, want %q", got, l.Addr().Host)
			}
		}
		_, err = d.Dial(t.Context(), transport.Addr{ID: d.ID(), Host: fmt.Sprintf(":%d", port)})
		var wrong *transport.PeerError
		if !errors.As(err, &wrong) {
			t.Errorf("Dial(both families, another ID) = %v, want a PeerError", err)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	tr := quic.New(quic.Config{})
	defer tr.Close()
	id := kith.NewKey().ID()
	for _, tt := range []struct {
		addr transport.Addr
		want string
	}{
		{transport.Addr{Scheme: "tcp", ID: id, Host: "127.0.0.1:1"}, `scheme "tcp"`},
		{transport.Addr{ID: id, Host: "127.0.0.1:1", Path: "/x"}, `path "/x"`},
		{transport.Addr{ID: id, Host: "127.0.0.1"}, "no port"},
		{transport.Addr{ID: id, Host: "127.0.0.1:99999"}, `port "99999"`},
		{transport.Addr{ID: id, Host: "kith.invalid:1"}, "kith.invalid"},
		{transport.Addr{Host: "127.0.0.1:1"}, "no way to tell"},
	} {
		if _, err := tr.Dial(t.Context(), tt.addr); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Dial(%v) = %v, want %q", tt.addr, err, tt.want)
		}
	}
	if _, err := tr.Listen(t.Context(), transport.Addr{Scheme: "tcp", Host: ":0"}); err == nil {
		t.Error("Listen(tcp) = nil, want an error")
	}
	for _, port := range []string{"99999", "-1", "https"} {
		a := transport.Addr{Host: "127.0.0.1:" + port}
		if l, err := tr.Listen(t.Context(), a); err == nil || !strings.Contains(err.Error(), port) {
			t.Errorf("Listen(%v) = %v, %v, want an error that names the port", a, l, err)
		}
	}
}

func TestListenPacketFails(t *testing.T) {
	broken := errors.New("no sockets today")
	tr := quic.New(quic.Config{ListenPacket: func(context.Context, string, string) (net.PacketConn, error) {
		return nil, broken
	}})
	defer tr.Close()
	if _, err := tr.Listen(t.Context(), transport.Addr{Host: ":0"}); !errors.Is(err, broken) {
		t.Errorf("Listen() = %v, want %v", err, broken)
	}
	if _, err := tr.Dial(t.Context(), transport.Addr{ID: kith.NewKey().ID(), Host: "127.0.0.1:1"}); !errors.Is(err, broken) {
		t.Errorf("Dial() = %v, want %v", err, broken)
	}
}

func TestAlternate(t *testing.T) {
	ips := func(s string) (as []netip.Addr) {
		for f := range strings.FieldsSeq(s) {
			as = append(as, netip.MustParseAddr(f))
		}
		return as
	}
	for _, tt := range []struct{ in, want string }{
		{"1.1.1.1", "1.1.1.1"},
		{"::1 ::2 1.1.1.1 2.2.2.2 3.3.3.3", "::1 1.1.1.1 ::2 2.2.2.2 3.3.3.3"},
		{"1.1.1.1 2.2.2.2 ::1", "1.1.1.1 ::1 2.2.2.2"},
	} {
		if got := quic.Alternate(ips(tt.in)); !reflect.DeepEqual(got, ips(tt.want)) {
			t.Errorf("alternate(%s) = %v, want %s", tt.in, got, tt.want)
		}
	}
}

func TestSourceOf(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"1.2.3.4:5", "1.2.3.4"},
		{"[::ffff:1.2.3.4]:5", "1.2.3.4"},
		{"[2001:db8:1:2ff:1::1]:5", "2001:db8:1:200::"},
		{"[fe80::1%eth0]:5", "fe80::1"},
	} {
		a := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tt.in))
		if got := quic.SourceOf(a); got != tt.want {
			t.Errorf("sourceOf(%s) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// quic-go prints to the standard log when a socket's buffers are smaller than
// it likes. It must not get to look at them.
func TestBuffersAreSizedHere(t *testing.T) {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pc := quic.Adapt(c, -1, slog.New(slog.DiscardHandler)).(quicgo.OOBCapablePacketConn)
	if _, err := pc.SyscallConn(); err == nil {
		t.Error("SyscallConn() before the buffers are sized = nil, want an error")
	}
	if err := pc.SetReadBuffer(1 << 30); err != nil {
		t.Errorf("SetReadBuffer(too much) = %v, want nil", err)
	}
	if err := pc.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(1 << 30); err != nil {
		t.Errorf("SetWriteBuffer(too much) = %v, want nil", err)
	}
	if _, err := pc.SyscallConn(); err != nil {
		t.Errorf("SyscallConn() = %v, want nil", err)
	}
}

func TestPassing(t *testing.T) {
	write := func(errno syscall.Errno) error {
		return &net.OpError{Op: "write", Err: os.NewSyscallError("sendmsg", errno)}
	}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{net.ErrClosed, false},
		{write(syscall.EMSGSIZE), false}, // path MTU discovery needs to know
		{write(syscall.EIO), false},      // as does segmentation offload
		{write(syscall.EBADF), false},
	} {
		if got := quic.Passing(tt.err); got != tt.want {
			t.Errorf("passing(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
	for _, errno := range quic.PassingErrors {
		if !quic.Passing(write(errno)) {
			t.Errorf("passing(%v) = false, want true", errno)
		}
	}
}
