package tcp_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/tcp"
)

// TestSocketOptions reads back what both ends of a connection set.
func TestSocketOptions(t *testing.T) {
	const userTimeout, notSentLowat = 18, 25 // TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT
	for name, want := range map[time.Duration]int{0: 15_000, 7 * time.Second: 7_000, -1: 0} {
		dialed, accepted := tcp.SocketPair(t, context.Background(), tcp.Config{UserTimeout: name})
		for _, c := range []net.Conn{dialed, accepted} {
			raw, err := c.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			raw.Control(func(fd uintptr) {
				get := func(level, opt int) int {
					v, err := syscall.GetsockoptInt(int(fd), level, opt)
					if err != nil {
						t.Error(err)
					}
					return v
				}
				if got := get(syscall.IPPROTO_TCP, userTimeout); got != want {
					t.Errorf("TCP_USER_TIMEOUT with %v = %d ms, want %d", name, got, want)
				}
				if got, want := get(syscall.IPPROTO_TCP, notSentLowat), 32<<10; got != want {
					t.Errorf("TCP_NOTSENT_LOWAT = %d, want %d", got, want)
				}
				if get(syscall.IPPROTO_TCP, syscall.TCP_NODELAY) == 0 {
					t.Error("TCP_NODELAY is off")
				}
				if get(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) == 0 || get(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE) != 15 ||
					get(syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL) != 5 || get(syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT) != 3 {
					t.Error("keep-alive is not 15 s, then every 5 s, three times")
				}
			})
			c.Close()
		}
	}
}

var _ transport.Transport = (*tcp.Transport)(nil)
