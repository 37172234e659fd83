//go:build !linux

package main

import (
	"errors"
	"io"
)

const linkServer = ""

// A link needs Linux.
type link struct{}

// newLinkFor fails for the workload that needs a link.
func newLinkFor(w workload, _ []*row) (*link, error) {
	if w.name == "W10" {
		return nil, errors.New("a link of tun devices needs Linux")
	}
	return nil, nil
}

func (*link) inServer() []string { return nil }

func (*link) inClient() []string { return nil }

func (*link) close(io.Writer) {}
