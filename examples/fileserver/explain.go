package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/fileclient"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// errTold is the error of a command that has said what went wrong.
var errTold = errors.New("told")

// errCut is the error of a transfer that was interrupted.
var errCut = errors.New("interrupted; the same command goes on from here")

// explain says in one line what went wrong, and what can be done about it.
func (p *program) explain(err error) string {
	var told *kith.Error
	var other *transport.PeerError
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, admit.ErrRefused):
		return p.refused()
	case errors.Is(err, fileclient.ErrGaveUp):
	case errors.As(err, &other):
		return "somebody else answers there: " + other.Error()
	case errors.As(err, &told) && told.Message() != "":
		return show(told.Message())
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// refused says what a client can do that is not let in.
func (p *program) refused() string {
	text := "the server does not let this client in"
	if key, err := p.clientKey(); err == nil {
		text += "; whoever runs it may start it with -allow " + key.ID().String()
	}
	return text
}

// show makes text from outside fit for a line of a terminal.
func show(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
