package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/fetch"
	"github.com/kith-go/kith/peer"
)

// errCut is the error of a get that was interrupted.
var errCut = errors.New("interrupted; the same command goes on from here")

// errNobodyThere is the error of an ls that found no node.
var errNobodyThere = errors.New("no node was found: are they on this LAN, with the same key? " +
	"Where multicast does not work, -peers FILE names their addresses")

// explain says in one line what went wrong.
func explain(err error) string {
	var told *kith.Error
	switch {
	case errors.Is(err, fetch.ErrNobody):
		return err.Error() + ": \"share ls\" lists what is offered"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &told) && kith.Remote(err) && told.Message() != "":
		return show(told.Message())
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// nodeName returns what to call a node: its own name, and the beginning of its ID, as
// others may have the same name.
func nodeName(i peer.Info) string {
	if i.Name == "" {
		return i.ID.Short()
	}
	return show(i.Name) + " (" + i.ID.Short() + ")"
}

// show makes text from outside fit for a line of a terminal.
func show(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
