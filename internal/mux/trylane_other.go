//go:build !unix

package mux

import "errors"

const canTry = false

func writeOnce(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
