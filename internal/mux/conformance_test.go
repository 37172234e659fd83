package mux_test

import (
	"net"
	"testing"
	"time"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/transporttest"
)

// TestConformance runs the suite of transporttest over pipes in memory, also
// in virtual time, with the checks of pooled memory on.
func TestConformance(t *testing.T) {
	run := func(t *testing.T, inMemory bool, link func() (net.Conn, net.Conn, error)) {
		transporttest.Run(t, func(t *testing.T) transporttest.Setup {
			tr := newPipeTransport(link)
			return transporttest.Setup{
				Dialer:         tr,
				Listener:       tr,
				Addr:           transport.Addr{Scheme: "pipe", Host: "here"},
				NoIdentity:     true,
				DialsWithoutID: true,
				Timeout:        3 * time.Minute, // it has much to do under the race detector
				InMemory:       inMemory,
			}
		})
	}
	t.Run("Pipe", func(t *testing.T) {
		run(t, !testing.Short(), func() (net.Conn, net.Conn, error) {
			a, b := newPipe()
			return a, b, nil
		})
	})
	t.Run("TCP", func(t *testing.T) {
		if testing.Short() || raceEnabled {
			t.Skip("package tcp runs the same, without the checks of pooled memory")
		}
		run(t, false, func() (net.Conn, net.Conn, error) {
			a, b := tcpPair(t)
			return a, b, nil
		})
	})
}
