package peertest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

var greet = kith.Unary[string, string]("greet/Greet")

// newConfig is what the application makes its nodes of.
func newConfig(name string) peer.Config {
	var h kith.Handlers
	greet.Handle(&h, func(_ context.Context, from string) (string, error) {
		return fmt.Sprintf("hello %s, I am %s", from, name), nil
	})
	return peer.Config{Name: name, Handlers: &h, Admit: admit.Anyone()}
}

// A test of an application whose nodes lose each other, and find together again. All of it
// takes minutes of virtual time, and milliseconds.
func Example() {
	test := func(t *testing.T) {
		lan := peertest.New(t, peertest.Config{Seed: 1, Link: memory.Link{Latency: 2 * time.Millisecond}})
		ada := lan.Join("ada", newConfig("ada"))
		bob := lan.Join("bob", newConfig("bob"))
		lan.WaitUp(ada, bob)
		fmt.Println(greet.Call(t.Context(), ada.Peer(bob.ID()), "ada"))

		lan.Partition(bob)
		lan.WaitDown(ada, bob)
		fmt.Println("apart")
		lan.Heal()
		lan.WaitUp(ada, bob)
		fmt.Println("together again")

		lan.Crash(bob)
		lan.WaitGone(ada, bob)
		bob = lan.Restart(bob)
		lan.WaitUp(ada, bob)
		fmt.Println(greet.Call(t.Context(), bob.Peer(ada.ID()), "bob"))
	}
	run(func(t *testing.T) { synctest.Test(t, test) })
	// Output:
	// hello ada, I am bob <nil>
	// apart
	// together again
	// hello bob, I am ada <nil>
}

// run runs a test where there is none: in an example.
func run(test func(t *testing.T)) {
	testing.RunTests(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "Example", F: test}})
}
