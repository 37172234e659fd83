package netconn_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unix returns a transport over unix sockets.
func unix(cfg netconn.Config) *netconn.Transport {
	cfg.Scheme = "unix"
	cfg.Dial = func(ctx context.Context, a transport.Addr) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", a.Path)
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
		return transporttest.Setup{
			Dialer:   unix(netconn.Config{Key: key}),
			Listener: unix(netconn.Config{}),
			DialerID: key.ID(),
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
