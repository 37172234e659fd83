//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
)

// asNobody returns how to start a process without rights, and gives it
// directories.
func asNobody(t *testing.T, dirs ...string) *syscall.SysProcAttr {
	t.Helper()
	const nobody = 65534
	for _, dir := range dirs {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Skipf("no way to become nobody: %v", err)
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}
