package ration_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/kith-go/kith/internal/ration"
)

func TestSpacing(t *testing.T) {
	const rate, burst = 10, 5
	s := ration.NewSpacing(rate, burst)
	a, b := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	now := time.Unix(1, 0)
	begin := func(what string, source netip.Prefix, want time.Duration) {
		t.Helper()
		if wait := s.Begin(source, now); wait != want {
			t.Errorf("Begin() of %s = %v, want %v", what, wait, want)
		}
	}
	for range burst {
		begin("the first few", a, 0)
	}
	begin("one too many", a, time.Second/rate)
	begin("another source", b, 0)
	begin("no source", netip.Prefix{}, 0)
	for range 3 * burst { // over changes of the maps
		now = now.Add(time.Second / rate)
		begin("one in its time", a, 0)
		begin("one before its time", a, time.Second/rate)
	}
	now = now.Add(time.Second)
	for range burst {
		begin("those after a pause", a, 0)
	}
	begin("one too many after a pause", a, time.Second/rate)
	s = ration.NewSpacing(-1, burst)
	for range 10 * burst {
		begin("many without a limit", a, 0)
	}
}

// Sources without number are let pass: the oldest budgets are forgotten for them.
func TestSpacingOfManySources(t *testing.T) {
	s := ration.NewSpacing(1, 1)
	now := time.Unix(1, 0)
	for i := range 100_000 {
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if wait := s.Begin(netip.PrefixFrom(ip, 32), now); wait != 0 {
			t.Fatalf("Begin() of a new source = %v, want 0", wait)
		}
	}
}
