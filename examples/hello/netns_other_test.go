//go:build !linux

package main

import "testing"

// inNamespace skips t: only Linux has what it needs.
func inNamespace(t *testing.T) bool {
	t.Helper()
	t.Skip("private network namespaces are for Linux only")
	return false
}
