// Package greetapi is the contract that the greet server and client share.
package greetapi

import "github.com/kith-go/kith"

// Greet greets the caller by name.
var Greet = kith.Unary[string, string]("greet/Greet", kith.Idempotent())

// ErrUnknown says that the name is not known.
var ErrUnknown = kith.NewError(kith.NotFound, "unknown_name", "nobody of that name")
