package memory_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

func Example() {
	ctx := context.Background()
	tr := memory.New(memory.Config{})
	defer tr.Close()
	l, _ := tr.Listen(ctx, transport.Addr{})
	dialed, _ := tr.Dial(ctx, l.Addr())
	accepted, _ := l.Accept(ctx)

	s, _ := dialed.OpenStream(ctx)
	defer s.Close()
	transport.WriteLast(s, []byte("hello"))

	r, _ := accepted.AcceptStream(ctx)
	defer r.Close()
	b, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", b, err)
	// Output: hello <nil>
}

// In a test, call all of this inside synctest.Test: then an hour of latency
// takes no time, and times are exact.
func ExampleNetwork() {
	ctx := context.Background()
	net := memory.NewNetwork(memory.NetworkConfig{Seed: 1})
	defer net.Close()
	kitchen := net.Transport(memory.Config{Host: "kitchen"})
	cellar := net.Transport(memory.Config{Host: "cellar"})
	net.SetLink("kitchen", "cellar", memory.Link{Latency: 5 * time.Millisecond})

	start := time.Now()
	l, _ := cellar.Listen(ctx, transport.Addr{})
	c, err := kitchen.Dial(ctx, l.Addr())
	fmt.Println(time.Since(start) >= 10*time.Millisecond, err)

	net.Down("cellar", memory.WithReset)
	<-c.Context().Done()
	fmt.Println(context.Cause(c.Context()))
	// Output:
	// true <nil>
	// connection lost: reset by the network
}
