package netconn_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A wireCutter closes the sockets of connections underneath them.
type wireCutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (w *wireCutter) add(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
}

func (w *wireCutter) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

// unix returns a transport over unix sockets.
func unix(cfg netconn.Config, wires *wireCutter) *netconn.Transport {
	cfg.Scheme = "unix"
	cfg.Dial = func(ctx context.Context, a transport.Addr) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", a.Path)
		if err == nil {
			wires.add(c)
		}
		return c, err
	}
	cfg.Listen = func(ctx context.Context, a transport.Addr) (net.Listener, error) {
		var lc net.ListenConfig
		return lc.Listen(ctx, "unix", a.Path)
	}
	return netconn.New(cfg)
}

func TestTransportUnix(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Setup {
		key := kith.NewKey()
		wires := new(wireCutter)
		return transporttest.Setup{
			Dialer:   unix(netconn.Config{Key: key}, wires),
			Listener: unix(netconn.Config{}, wires),
			DialerID: key.ID(),
			Cut:      wires.cut,
			Timeout:  3 * time.Minute,
			Addr:     transport.Addr{Scheme: "unix", Path: filepath.Join(t.TempDir(), "s")},
			Garbage: func(ctx context.Context, a transport.Addr, p []byte) error {
				var d net.Dialer
				c, err := d.DialContext(ctx, "unix", a.Path)
				if err == nil {
					t.Cleanup(func() { c.Close() })
					c.Write(p)
				}
				return err
			},
		}
	})
}
