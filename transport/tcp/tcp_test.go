package tcp_test

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/tcp"
	"github.com/kith-go/kith/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// garbage sends raw bytes to a listener.
func garbage(t *testing.T) func(context.Context, transport.Addr, []byte) error {
	return func(ctx context.Context, a transport.Addr, p []byte) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", a.Host)
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		c.Write(p) // the listener may have hung up already
		return nil
	}
}

// silent returns an address that takes connections and never answers.
func silent(t *testing.T) transport.Addr {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return transport.Addr{Scheme: tcp.Scheme, Host: ln.Addr().String()}
}

// watchdog is long: the suite has much to do under the race detector.
const watchdog = 3 * time.Minute

func TestTransport(t *testing.T) {
	listen := transport.Addr{Scheme: tcp.Scheme, Host: "127.0.0.1:0"}
	t.Run("TLS", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Setup {
			key := kith.NewKey()
			return transporttest.Setup{
				Dialer:   tcp.New(tcp.Config{Key: key}),
				Listener: tcp.New(tcp.Config{}),
				DialerID: key.ID(),
				Addr:     listen,
				Silent:   silent(t),
				Garbage:  garbage(t),
				Timeout:  watchdog,
			}
		})
	})
	t.Run("Plaintext", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Setup {
			return transporttest.Setup{
				Dialer:         tcp.New(tcp.Config{Plaintext: true}),
				Listener:       tcp.New(tcp.Config{Plaintext: true}),
				NoIdentity:     true,
				DialsWithoutID: true,
				Addr:           listen,
				Garbage:        garbage(t),
				Timeout:        watchdog,
			}
		})
	})
}
