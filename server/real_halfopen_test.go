//go:build linux && !386

package server_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
)

// deafen lets the system drop whatever comes in at both ends of a connection,
// at sockets of this process that are known by one of the ports, before TCP or
// QUIC see it: no data arrives, nor is anything acknowledged, as when a cable is
// cut. It needs no privileges.
func deafen(t *testing.T, ports ...uint16) {
	t.Helper()
	drop := syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K} // no byte of any packet
	prog := syscall.SockFprog{Len: 1, Filter: &drop}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	deaf := 0
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || !slices.Contains(ports, portOf(syscall.Getsockname(fd))) &&
			!slices.Contains(ports, portOf(syscall.Getpeername(fd))) {
			continue
		}
		if listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); listens != 0 || err != nil {
			continue
		}
		_, _, errno := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER,
			uintptr(unsafe.Pointer(&prog)), unsafe.Sizeof(prog), 0)
		if errno != 0 {
			t.Fatalf("SO_ATTACH_FILTER = %v", errno)
		}
		deaf++
	}
	if deaf != 2 {
		t.Fatalf("%d sockets with the ports %d are deaf, want one at each end", deaf, ports)
	}
}

// portOf returns the port of an address, 0 if there is none.
func portOf(a syscall.Sockaddr, err error) uint16 {
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return uint16(a.Port)
	case *syscall.SockaddrInet6:
		return uint16(a.Port)
	}
	return 0
}

// The network between two ends goes dead, and neither is told. Both find out
// within the silence bound: the caller, whose call is lost, and the server,
// whose handler is cancelled.
func TestRealHalfOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	const hung = 45 * time.Second // TCP alone would need a quarter of an hour
	for _, name := range []string{"tcp", "quic"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, dialer := overWire(name, kith.NewKey()), overWire(name, kith.NewKey())
			var ports []uint16
			if name == "quic" {
				dialer = quic.New(quic.Config{ListenPacket: func(_ context.Context, network, _ string) (net.PacketConn, error) {
					c, err := net.ListenPacket(network, "127.0.0.1:0")
					if err == nil {
						ports = append(ports, uint16(c.LocalAddr().(*net.UDPAddr).Port))
					}
					return c, err
				}})
			}
			t.Cleanup(func() { _ = tr.Close() })
			t.Cleanup(func() { _ = dialer.Close() })
			started, ended := make(chan struct{}), make(chan error, 1)
			h := new(kith.Handlers)
			hang.Handle(h, func(ctx context.Context, _ string) (string, error) {
				close(started)
				<-ctx.Done()
				ended <- ctx.Err()
				return "", ctx.Err()
			})
			r := start(t, tr, h, nil)
			c, err := client.Dial(t.Context(), client.Config{Transport: dialer, Addrs: []string{r.addr.String()}})
			if err != nil {
				t.Fatalf("Dial = %v", err)
			}
			t.Cleanup(func() { _ = c.Close() })
			lost := make(chan error, 1)
			go func() {
				_, err := hang.Call(t.Context(), c, "")
				lost <- err
			}()
			<-started
			deafen(t, append(ports, netip.MustParseAddrPort(r.addr.Host).Port())...)
			begin := time.Now()
			timeout := time.After(hung)
			select {
			case err := <-lost:
				var ended *transport.ConnError
				if kith.Unprocessed(err) || kith.Remote(err) || !errors.As(err, &ended) {
					t.Errorf("Call over a dead network = %v, want a lost connection, and unknown fate", err)
				}
				t.Logf("the caller knows after %v: %v", time.Since(begin).Round(10*time.Millisecond), err)
			case <-timeout:
				t.Fatalf("the caller does not know after %v", hung)
			}
			select {
			case err := <-ended:
				t.Logf("the handler is told after %v: %v", time.Since(begin).Round(10*time.Millisecond), err)
			case <-timeout:
				t.Fatalf("the handler was not told within %v", hung)
			}
		})
	}
}
