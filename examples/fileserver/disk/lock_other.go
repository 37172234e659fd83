//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package disk

import "os"

// Lock does nothing: this system has no flock. Whoever runs the programs has
// to see to it that no two use one file.
func Lock(*os.File) error { return nil }
