package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport/memory"
)

// The tour passes with a file given, and over a transport of every kind when
// run as the README says.
func TestTour(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	serverKey, clientKey := kith.NewKey(), kith.NewKey()
	n := memory.NewNetwork(memory.NetworkConfig{})
	defer n.Close()
	r := route{
		listen: n.Transport(memory.Config{Key: serverKey, Host: "server"}),
		dial:   n.Transport(memory.Config{Key: clientKey, Host: "client"}),
		addr:   "server",
	}
	if err := r.run(t.Context(), clientKey.ID(), path); err != nil {
		t.Errorf("run = %v", err)
	}
}

// Three peers find each other and share a file where there is no multicast, too.
func TestPeersByList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 3<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := peers(t.Context(), path, false); err != nil {
		t.Errorf("peers = %v", err)
	}
}

func TestMainOverAllTransports(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = args[:1]
	main()
}
