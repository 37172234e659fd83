// Package greet_test runs the programs of examples/greet.
package greet_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The server and the client, built and run as two programs.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./server", "./client").CombinedOutput(); err != nil {
		t.Fatalf("go build = %v\n%s", err, out)
	}
	srv := exec.Command(filepath.Join(dir, "server"), "-listen", "127.0.0.1:0")
	srv.Dir = dir // greet.key is made there
	stdout, err := srv.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = srv.Process.Kill()
		_ = srv.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("server printed %q, %v", addr, err)
	}
	addr = strings.TrimSpace(addr)
	for name, want := range map[string]string{"Ada": "Hello, Ada!", "": "does not know you"} {
		out, _ := exec.Command(filepath.Join(dir, "client"), addr, name).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("client %q printed %q, want %q", name, out, want)
		}
	}
}
