//go:build !unix

package main

import "os"

// standardFiles returns standard input and output. A Read of theirs that is
// blocked ends when the parent hangs up, and not before.
func standardFiles() (in, out *os.File, err error) { return os.Stdin, os.Stdout, nil }
