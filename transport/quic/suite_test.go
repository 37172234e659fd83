package quic_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/transporttest"
)

func TestTransport(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Setup {
		silent, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { silent.Close() })
		key := kith.NewKey()
		var cut cutter
		return transporttest.Setup{
			Dialer:   quic.New(quic.Config{Key: key, ListenPacket: cut.listenPacket}),
			Listener: quic.New(quic.Config{ListenPacket: cut.listenPacket}),
			Addr:     transport.Addr{Scheme: quic.Scheme, Host: "127.0.0.1:0"},
			DialerID: key.ID(),
			Silent:   transport.Addr{Scheme: quic.Scheme, Host: silent.LocalAddr().String()},
			Garbage:  sendDatagram,
			Cut:      cut.all,

			IgnoreGoroutines: passingGoroutines,
		}
	})
}

// A cutter closes sockets under the transports that use them.
type cutter struct {
	mu  sync.Mutex
	pcs []net.PacketConn
}

func (c *cutter) listenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	pc, err := net.ListenPacket(network, address)
	if err == nil {
		c.mu.Lock()
		c.pcs = append(c.pcs, pc)
		c.mu.Unlock()
	}
	return pc, err
}

func (c *cutter) all() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pc := range c.pcs {
		pc.Close()
	}
}

// passingGoroutines are none of a transport's: the runtime's, when there is
// something to clean up, and the timer with which quic-go forgets a connection
// some time after its end.
var passingGoroutines = []string{"runtime.runCleanups", "runtime.runFinalizers", "ReplaceWithClosed"}

// TestTransportInMemory runs the whole suite in virtual time too.
func TestTransportInMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("takes minutes with the race detector, and TestTransport runs the same cases")
	}
	transporttest.Run(t, func(t *testing.T) transporttest.Setup {
		n := newSimNet()
		key := kith.NewKey()
		return transporttest.Setup{
			Dialer:   n.transport("10.0.0.1", quic.Config{Key: key}),
			Listener: n.transport("10.0.0.2", quic.Config{}),
			Addr:     transport.Addr{Scheme: quic.Scheme, Host: ":4433"},
			DialerID: key.ID(),
			InMemory: true,

			IgnoreGoroutines: passingGoroutines,
		}
	})
}

// sendDatagram sends p to a listener, from a socket of its own.
func sendDatagram(_ context.Context, a transport.Addr, p []byte) error {
	c, err := net.Dial("udp", a.Host)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write(p)
	return err
}
