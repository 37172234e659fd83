package session_test

import (
	"context"
	"testing"

	"github.com/kith-go/kith"
)

// BenchmarkEchoJSON is one caller of a method with small JSON messages.
func BenchmarkEchoJSON(b *testing.B) {
	type note struct {
		Name string
		Size int
		Tags []string
	}
	keep := kith.Unary[note, note]("bench/Keep")
	var h kith.Handlers
	keep.Handle(&h, func(_ context.Context, n note) (note, error) { return n, nil })
	p := connect(b, overMemory(b), &h, nil)
	n := note{"a name", 4711, []string{"one", "two", "three"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keep.Call(b.Context(), p.dialed, n); err != nil {
			b.Fatalf("Call = %v", err)
		}
	}
}
