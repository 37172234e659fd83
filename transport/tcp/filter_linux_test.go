package tcp_test

import (
	"testing"

	"golang.org/x/net/bpf"

	"github.com/kith-go/kith/internal/bar"
	"github.com/kith-go/kith/transport/tcp"
)

// A listener's socket takes filters, which those of multipath TCP do not.
func TestListenerTakesFilters(t *testing.T) {
	ln := tcp.ListenSocket(t, t.Context(), tcp.Config{})
	defer ln.Close()
	own, ok := ln.(bar.Listener)
	if !ok {
		t.Fatalf("the listener is a %T, want a bar.Listener", ln)
	}
	keep, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 1 << 16}})
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range [][]bpf.RawInstruction{keep, nil} {
		if err := bar.Filter(own)(program); err != nil {
			t.Errorf("Filter()(%v) = %v", program, err)
		}
	}
}
