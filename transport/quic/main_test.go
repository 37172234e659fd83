package quic_test

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"

	"github.com/kith-go/kith/transport/quic"
	"go.uber.org/goleak"
)

// A printed is what went to the standard log, to which nothing may go.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func TestMain(m *testing.M) {
	var out printed
	log.SetOutput(&out)
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Println(err)
		code = 1
	}
	if out.buf.Len() > 0 {
		fmt.Printf("printed to the standard log: %s", out.buf.String())
		code = 1
	}
	if n := quic.WindowsGrown(); n != 0 {
		fmt.Printf("WindowsGrown() = %d when all connections have ended, want 0\n", n)
		code = 1
	}
	os.Exit(code)
}
