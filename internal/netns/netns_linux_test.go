package netns_test

import (
	"net"
	"testing"

	"github.com/kith-go/kith/internal/netns"
)

// A test is alone with an interface that it may set up.
func TestInside(t *testing.T) {
	if !netns.Inside(t) {
		return
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifaces {
		if up := i.Flags&net.FlagUp != 0; up != (i.Name == "lo") {
			t.Errorf("interface %s is up: %t, want it so for lo alone", i.Name, up)
		}
	}
	if err := netns.SetUp("lo", false); err != nil {
		t.Fatalf("SetUp(lo, false) = %v", err)
	}
	if lo, err := net.InterfaceByName("lo"); err != nil || lo.Flags&net.FlagUp != 0 {
		t.Errorf("lo after SetUp(lo, false) = %v, %v, want it down", lo, err)
	}
}
