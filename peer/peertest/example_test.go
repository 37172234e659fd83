package peertest_test

import (
	"context"
	"fmt"
	"testing"
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

// A test of an application whose nodes lose each other, and find together again. In a test, t is the test's own;
// within a bubble of package testing/synctest it takes no time.
func Example() {
	t := new(exampleT)
	defer t.end()
	lan := peertest.New(t, peertest.Config{Seed: 1, Link: memory.Link{Latency: 2 * time.Millisecond}})
	ada := lan.Join("ada", newConfig("ada"))
	bob := lan.Join("bob", newConfig("bob"))
	lan.WaitUp(ada, bob)
	fmt.Println(greet.Call(t.Context(), ada.Peer(bob.ID()), "ada"))

	lan.Kill(bob)
	lan.WaitDown(ada, bob)
	fmt.Println("bob is gone")
	bob = lan.Restart(bob)
	lan.WaitUp(ada, bob)
	fmt.Println(greet.Call(t.Context(), bob.Peer(ada.ID()), "bob"))
	// Output:
	// hello ada, I am bob <nil>
	// bob is gone
	// hello bob, I am ada <nil>
}

// An exampleT stands for the test's own T.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                        {}
func (t *exampleT) Context() context.Context       { return context.Background() }
func (t *exampleT) Cleanup(f func())               { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Errorf(format string, a ...any) { fmt.Printf(format+"\n", a...) }
func (t *exampleT) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}
