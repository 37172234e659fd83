package main

import (
	"os"
	"testing"

	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/transporttest"
)

// The suite makes hundreds of pipes, so both ends of each are in this process;
// TestChild has a real child.
func TestPipes(t *testing.T) {
	transporttest.RunPipe(t, transporttest.PipeSetup{
		Make: func(t testing.TB) (a, b netconn.Pipe) {
			in, theirOut, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			theirIn, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return &stdio{in, out, func() {}}, &stdio{theirIn, theirOut, func() {}}
		},
		Plaintext: true, // as newPipes has it
	})
}
