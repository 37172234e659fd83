package transporttest_test

import (
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/transporttest"
)

// The test of a transport is one call. Yours is a function that go test
// finds: func TestTransport(t *testing.T).
func ExampleRun() {
	testTransport := func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Setup {
			network := memory.NewNetwork(memory.NetworkConfig{})
			t.Cleanup(func() { network.Close() })
			key := kith.NewKey()
			return transporttest.Setup{
				Dialer:         network.Transport(memory.Config{Key: key}),
				Listener:       network.Transport(memory.Config{}),
				Addr:           transport.Addr{Scheme: memory.Scheme, Host: "anyone"},
				DialerID:       key.ID(),
				DialsWithoutID: true, // there is nobody else in the process
				InMemory:       true,
			}
		})
	}
	_ = testTransport
}
