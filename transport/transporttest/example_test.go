package transporttest_test

import (
	"net"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/netconn"
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

// Who has only a pipe makes the two ends of one.
func ExampleRunPipe() {
	testPipe := func(t *testing.T) {
		transporttest.RunPipe(t, transporttest.PipeSetup{
			Make: func(t testing.TB) (a, b netconn.Pipe) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
					t.Fatal(err)
				}
				if b, err = l.Accept(); err != nil {
					t.Fatal(err)
				}
				return a, b
			},
		})
	}
	_ = testPipe
}
